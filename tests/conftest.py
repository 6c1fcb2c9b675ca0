"""What every test stands on."""

import asyncio
import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def _main_loop() -> Iterator[None]:
    """Own the main thread's event loop.

    pytest-asyncio asks for one before its first asynchronous test; asyncio would make it then and
    there, and nobody would close it.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Undo what a test has set up for the log of the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("imbot").setLevel(logging.NOTSET)
    structlog.reset_defaults()
