"""What every test stands on."""

import asyncio
from collections.abc import Iterator

import pytest


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
