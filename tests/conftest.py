"""What every test stands on."""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from structlog.dev import ConsoleRenderer, plain_traceback

# Side by side, a case takes as long as the others let it.
settings.register_profile("side by side", settings(), deadline=None)
settings.load_profile("side by side")

#: Their tests start processes and wait for them, or share one that takes long to start.
_ALONE = [Path(__file__).with_name(folder) for folder in ("wire", "editor", "browser")]


@pytest.hookimpl(tryfirst=True)  # before -m is looked at
def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Mark the tests of whole folders that do not run side by side with others."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in _ALONE):
            item.add_marker("alone")


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
    """Undo what a test has set up for the log of the whole process.

    Until it does, errors are logged with plain tracebacks: coloured ones with every local value
    take a second each.
    """
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    plain = ConsoleRenderer(colors=False, exception_formatter=plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("imbot").setLevel(logging.NOTSET)
    structlog.reset_defaults()
