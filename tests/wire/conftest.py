"""Fixtures of the wire tests: foreign servers, started for one test each."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.machine import lacks
from tests.wire.foreign import ForeignGws, Kind, NodeMissingError, install
from tests.wire.house import Imbot, running

StartForeign = Callable[..., Awaitable[ForeignGws]]


@pytest.fixture(scope="session")
def foreign_packages() -> None:
    """Node and the servers' packages. A user's machine may lack them, CI may not."""
    try:
        install()
    except NodeMissingError as error:
        lacks(str(error))


@pytest.fixture(params=list(Kind), ids=str)
def foreign_kind(request: pytest.FixtureRequest) -> Kind:
    """Each foreign server in turn."""
    return Kind(request.param)


@pytest.fixture
async def start_foreign(
    foreign_packages: None,  # noqa: ARG001 - only that it succeeded
    tmp_path: Path,
) -> AsyncIterator[StartForeign]:
    """Start servers with switches of tests/foreign/main.js; all are stopped after the test."""
    async with AsyncExitStack() as stack:

        async def start(kind: Kind, *switches: str) -> ForeignGws:
            directory = tmp_path / f"{kind}-{os.urandom(4).hex()}"
            directory.mkdir()
            return await stack.enter_async_context(ForeignGws(kind, directory, switches))

        yield start


@pytest.fixture
async def foreign_server(start_foreign: StartForeign, foreign_kind: Kind) -> ForeignGws:
    """A server of each kind, with stock settings: 3 agents, CSRF, 30 s polls."""
    return await start_foreign(foreign_kind)


@pytest.fixture
async def imbot(foreign_server: ForeignGws, tmp_path: Path) -> AsyncIterator[Imbot]:
    """A whole imbot with one agent, bot1, in service on each foreign server."""
    async with running(tmp_path, foreign_server.url) as imbot:
        await imbot.up()
        yield imbot
