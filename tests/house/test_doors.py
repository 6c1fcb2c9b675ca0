"""What import-linter cannot see: inside which half of a package, and outside of imbot."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVERS = sorted(
    path for room in ("simulator", "admin") for path in (ROOT / "imbot" / room).rglob("*.py")
)
PLUGINS = sorted(
    path
    for path in [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]
    if not path.stem.startswith("test_")  # tests of plugins may use the fakes
)


def imports(source: str) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names):
                yield from (f"{module}.{alias.name}" for alias in names)


def within(name: str, room: str) -> bool:
    """Return whether a dotted name is the room or something in it."""
    return f"{name}.".startswith(f"{room}.")


@pytest.mark.parametrize("path", SERVERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_servers_use_the_server_half_of_aiohttp_only(path):
    """Requests go out through one door, where limits and the guard against inner hosts are."""
    ours = [name for name in imports(path.read_text()) if within(name, "aiohttp")]

    assert [name for name in ours if not within(name, "aiohttp.web")] == []


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_plugins_know_the_contract_and_nothing_else_of_imbot(path):
    """What our own plugins may do, anybody's may."""
    ours = [name for name in imports(path.read_text()) if within(name, "imbot")]

    assert [name for name in ours if not within(name, "imbot.plugin")] == []


def test_imports_are_found_in_every_form():
    """The checks above must be able to fail."""
    source = "import aiohttp\nfrom aiohttp import web\ndef f():\n    from imbot import pluginhost"

    assert list(imports(source)) == ["aiohttp", "aiohttp.web", "imbot.pluginhost"]
    assert not within("imbot.pluginhost", "imbot.plugin")
