"""Whoever reads imbot is told, at every door, what is true afterwards."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "imbot").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def speaks_through_another(node: Documented) -> bool:
    """Return whether the docstring stands elsewhere: at the getter, or at the overload's body."""
    decorators = [] if isinstance(node, ast.Module) else map(ast.unparse, node.decorator_list)
    return any(name.endswith((".setter", "overload", "override")) for name in decorators)


def undocumented(node: Documented, name: str) -> Iterator[str]:
    """Yield the names of ``node`` and of what is public in it that have no docstring."""
    if not ast.get_docstring(node) and not speaks_through_another(node):
        yield name
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    for child in node.body:
        if isinstance(child, Documented) and not child.name.startswith("_"):
            yield from undocumented(child, f"{name}.{child.name}")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_and_every_public_name_has_a_docstring(path):
    """A name without one makes its reader guess units, errors and what None means."""
    assert list(undocumented(ast.parse(path.read_text()), path.stem)) == []


def test_what_has_no_docstring_is_found():
    """The check above would pass for ever if it looked in the wrong place."""
    source = (
        "class A:\n  def b(self): ...\n  def _c(self): ...\ndef d():\n  '''Say.'''\n  def e(): ..."
    )

    assert list(undocumented(ast.parse(source), "m")) == ["m", "m.A", "m.A.b"]
