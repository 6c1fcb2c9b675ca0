"""The admin API against its own description: schemathesis asks all that it allows and forbids."""

import asyncio
import sys

import pytest

from imbot.admin import server
from tests.wire.test_imbot_api import TOKENS, api  # noqa: F401  the fixture


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_the_api_is_as_it_is_described(api, monkeypatch):  # noqa: F811
    api.ring()
    monkeypatch.setattr(api.imbot.app.server, "_asking", _unlimited(api))
    monkeypatch.setattr(api.imbot.app.server, "_wrong", _unlimited(api))
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


def _unlimited(served):
    clock = served.imbot.app.server._clock
    return server.Bucket(clock, per_s=1e9, at_once=1e9)
