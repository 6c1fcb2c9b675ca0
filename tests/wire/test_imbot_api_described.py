"""The admin API against its own description: schemathesis asks all that it allows and forbids."""

import asyncio
import sys

import pytest

from tests.wire.test_imbot_api import TOKENS, api, unlimited  # noqa: F401  the fixture


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_the_api_is_as_it_is_described(api, monkeypatch):  # noqa: F811
    api.ring()
    monkeypatch.setattr(api.imbot.app.server.gate, "_asking", unlimited())
    monkeypatch.setattr(api.imbot.app.server.gate, "_wrong", unlimited())
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{api.url}/api/v1/openapi.json"),
        *("--header", f"Authorization: Bearer {TOKENS['admin']}"),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "1"),
        *("--checks", "all", "--no-color"),
        cwd=api.imbot.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await asking.communicate()
    assert asking.returncode == 0, told.decode()
