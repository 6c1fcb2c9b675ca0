"""One word per thing: docs/glossary.md says which, and which not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "imbot").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()

#: Methods that SQLAlchemy calls by these names.
THEIRS = {"process_bind_param", "process_result_value", "_process_events"}


def refused_words(glossary: str) -> frozenset[str]:
    """Return what is in ``code`` in the last columns and in the list of names that say nothing."""
    table, _, names = glossary.partition("## Names that say nothing")
    cells = [line.rsplit("|", 2)[1] for line in table.splitlines() if line.startswith("| ")]
    return frozenset(re.findall(r"`([^`]+)`", " ".join([*cells, names.partition(":")[0]])))


def words(identifier: str) -> list[str]:
    """Return the words of a name in snake_case or CamelCase, in lower case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower().split("_")


def names_given(tree: ast.AST) -> Iterator[str]:
    """Yield each name that a module gives; names that it only uses are others' choice."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_name_uses_a_word_that_the_glossary_refuses(path):
    """Two words for one thing make a reader look for two things."""
    refused = refused_words(GLOSSARY)
    given = {path.stem, *names_given(ast.parse(path.read_text()))}

    assert {name for name in given if refused.intersection(words(name))} == set()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_function_merely_processes_or_handles(path):
    """A verb that fits every function says nothing about this one."""
    tree = ast.walk(ast.parse(path.read_text()))
    given = {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}

    assert {name for name in given - THEIRS if re.match(r"_*(process|handle)_", name)} == set()


def test_the_glossary_refuses_something():
    """A change to the page's layout must not switch the checks above off."""
    assert {"packet", "debounce", "utils", "manager"} <= refused_words(GLOSSARY)
    assert "payload" not in refused_words(GLOSSARY)


def test_words_are_found_in_both_spellings():
    """A refused word hides in neither a class nor a constant."""
    assert words("PacketReader") == ["packet", "reader"]
    assert words("MAX_PACKET_bytes") == ["max", "packet", "bytes"]
    assert list(names_given(ast.parse("def f(a, *, b): c = a.packet"))) == ["f", "a", "b", "c"]
