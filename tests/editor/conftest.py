"""The language server, started once for all tests: a start takes longer than they do."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.editor.language_server import EDITOR, LanguageServer
from tests.machine import lacks
from tests.wire.foreign import NodeMissingError, install


@pytest.fixture(scope="session")
def language_server_package() -> None:
    """Node and the server's package. A user's machine may lack them, CI may not."""
    try:
        install(EDITOR)
    except NodeMissingError as error:
        lacks(str(error))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def editor(
    language_server_package: None,  # noqa: ARG001 - only that it succeeded
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[LanguageServer]:
    """The server, in a folder of its own."""
    async with LanguageServer(tmp_path_factory.mktemp("editor")) as server:
        yield server
