"""Conditions as text: Python's own parser, then our tree, or what is wrong and where.

Nothing here knows names or types; what the language has not, is refused here.
"""

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from imbot.problems import Place, Problem
from imbot.rulebook.tree import (
    DEEPEST,
    Call,
    Choice,
    Compare,
    Const,
    Field,
    Item,
    Items,
    Junction,
    Name,
    Not,
    Tree,
)

#: Maps (line offset, column offset) inside a source, both from 0, to the place in its file.
PlaceOf: TypeAlias = Callable[[int, int], Place]

#: A condition longer than this is no condition.
LONGEST_BYTES = 2048
#: Numbers beyond this are ids, and ids are text.
LARGEST = 2**53

_CONSTANTS = {"true": True, "false": False, "none": None, "null": None}
_OPERATORS = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.In: "in",
    ast.NotIn: "not in",
}


@dataclass(frozen=True, slots=True)
class Source:
    """A piece of text, and where each of its characters stands."""

    text: str
    place: PlaceOf

    def at(self, offset: int) -> Place:
        """Return the place of the character at ``offset``."""
        before = self.text[:offset]
        line = before.count("\n")
        return self.place(line, offset - (before.rfind("\n") + 1))

    def problem(self, offset: int, code: str, what: str, cure: str = "") -> Problem:
        """Return an error at ``offset``."""
        return Problem(self.at(offset), code, what, cure)


class NotInLanguageError(Exception):
    """What stands there is not part of the language; carries the one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


def read_condition(source: Source) -> Tree:
    """Return the tree of a condition.

    Raises:
        NotInLanguageError: It is none.
    """
    text = source.text
    if not text.strip():
        raise _refused(source, 0, "an empty condition", "write an expression, or leave it out")
    if len(text.encode("utf-8", "replace")) > LONGEST_BYTES:
        raise _refused(source, 0, f"a condition longer than {LONGEST_BYTES} bytes", "split it")
    if (braces := re.search(r"\{\{|\{%", text)) is not None:
        what = "a condition is an expression, not a template"
        cure = "write it without {{ and }}"
        bare = " ".join(text.replace("{{", "").replace("}}", "").split())
        if "{%" not in bare and len(bare) < 60:  # noqa: PLR2004  fits a line
            cure += f": {bare}"
        raise NotInLanguageError(source.problem(braces.start(), "misplaced-template", what, cure))
    # One line: a newline means no more than a blank, as in a folded YAML text.
    line = text.replace("\r", " ").replace("\n", " ").replace("\t", " ")
    return _Reader(source, line).read()


def _refused(source: Source, offset: int, what: str, cure: str = "") -> NotInLanguageError:
    return NotInLanguageError(source.problem(offset, "bad-expression", what, cure))


class _Reader:
    """Turns Python's syntax tree into ours."""

    def __init__(self, source: Source, line: str) -> None:
        self._source = source
        self._line = line
        self._indent = len(line) - len(line.lstrip())
        self._bytes = line.lstrip().encode("utf-8", "replace")

    def read(self) -> Tree:
        body = self._parse().body
        _, end = self._span(body)
        if rest := self._line[end:].lstrip(" ),"):
            raise self._no(len(self._line) - len(rest), "a comment", "conditions have none")
        return self._tree(body, 1)

    def _parse(self) -> ast.Expression:
        try:
            with warnings.catch_warnings():
                # A pattern such as "\d+" is fine here; Python would rather have it raw.
                warnings.simplefilter("ignore")
                return ast.parse(self._line.lstrip(), mode="eval")
        except SyntaxError as error:
            raise self._syntax(error) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise self._no(0, f"no expression that can be read ({error})") from error

    def _syntax(self, error: SyntaxError) -> NotInLanguageError:
        for pattern, cure in _SLIPS:
            if (slip := _outside_quotes(pattern, self._line)) is not None:
                return self._no(slip, "invalid syntax", cure)
        offset = self._indent + max((error.offset or 1) - 1, 0)
        what = re.sub(r" \(<unknown>.*\)$|\. (?:Perhaps|Maybe) .*$", "", error.msg)
        cure = _IN_BRACKETS if what.startswith(("'(' was never", "unmatched ')'")) else ""
        return self._no(min(offset, len(self._line) - 1), what, cure)

    def _no(self, offset: int, what: str, cure: str = "") -> NotInLanguageError:
        return _refused(self._source, offset, what, cure)

    def _span(self, node: ast.expr) -> tuple[int, int]:
        """Return where ``node`` begins and ends in the source, in characters."""
        first, last = node.col_offset, node.end_col_offset or node.col_offset
        begin = len(self._bytes[:first].decode("utf-8", "replace"))
        return self._indent + begin, self._indent + begin + len(
            self._bytes[first:last].decode("utf-8", "replace")
        )

    def _behind(self, node: ast.expr) -> int:
        """Return where what follows ``node``, and the brackets around it, begins."""
        end = self._span(node)[1]
        return len(self._line) - len(self._line[end:].lstrip(" )"))

    def _tree(self, node: ast.expr, depth: int) -> Tree:  # noqa: C901, PLR0911, PLR0912  one case per node
        at, end = self._span(node)
        if depth > DEEPEST:
            raise self._no(at, f"nested deeper than {DEEPEST}", "split it")
        below = depth + 1
        match node:
            case ast.Constant(value=value):
                return Const(self._constant(value, at), at=at, end=end)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return Const(-self._constant(value, at), at=at, end=end)
            case ast.Name(id=name) if name in _CONSTANTS:
                return Const(_CONSTANTS[name], at=at, end=end)
            case ast.Name(id=name):
                return Name(name, at=at, end=end)
            case ast.Attribute(value=value, attr=attr):
                return Field(self._tree(value, below), attr, at=at, end=end)
            case ast.Subscript(value=value, slice=index):
                return Item(self._tree(value, below), self._tree(index, below), at=at, end=end)
            case ast.Call():
                return self._call(node, below, (at, end))
            case ast.Compare():
                return self._compare(node, below, (at, end))
            case ast.BoolOp(op=op, values=values):
                parts = tuple(self._tree(value, below) for value in values)
                return Junction(isinstance(op, ast.And), parts, at=at, end=end)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self._tree(operand, below), at=at, end=end)
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                three = (self._tree(part, below) for part in (test, then, otherwise))
                return Choice(*three, at=at, end=end)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return Items(tuple(self._tree(item, below) for item in items), at=at, end=end)
            case ast.BinOp(left=left):
                raise self._no(self._behind(left), *_not_in_language(node))
            case _:
                raise self._no(at, *_not_in_language(node))

    def _constant(self, value: object, at: int) -> Any:  # noqa: ANN401  a literal
        match value:
            case bool() | str() | None:
                return value
            case int() | float() if -LARGEST <= value <= LARGEST:
                return value
            case int() | float():
                raise self._no(at, "a number that is too large", "write long ids as text in quotes")
            case _:
                raise self._no(at, "a literal that the language has not", "write text or a number")

    def _call(self, node: ast.Call, depth: int, span: tuple[int, int]) -> Tree:
        at, end = span
        if isinstance(node.func, ast.Attribute):
            method = node.func.attr
            cure = f"write {method}(…) with the value as first argument"
            if method == "get":
                cure = "write […] behind the value"
            raise self._no(self._span(node.func)[1] - len(method), "values have no methods", cure)
        if not isinstance(node.func, ast.Name):
            raise self._no(at, "only functions can be called", "write the function's name")
        for keyword in node.keywords:
            cure = "use == to compare, or leave the name out"
            raise self._no(self._span(keyword.value)[0], "functions take no named arguments", cure)
        args = tuple(self._tree(arg, depth) for arg in node.args)
        return Call(node.func.id, args, at=at, end=end)

    def _compare(self, node: ast.Compare, depth: int, span: tuple[int, int]) -> Tree:
        at, end = span
        first = self._tree(node.left, depth)
        rest = []
        before = node.left
        for op, operand in zip(node.ops, node.comparators, strict=True):
            if type(op) not in _OPERATORS:
                is_at = self._behind(before)
                raise self._no(is_at, "'is' compares nothing here", "use == or !=")
            rest.append((_OPERATORS[type(op)], self._tree(operand, depth)))
            before = operand
        if len(rest) > 1 and any(op in {"in", "not in"} for op, _ in rest):
            raise self._no(at, "'in' cannot be chained", "write two comparisons joined by and")
        return Compare(first, tuple(rest), at=at, end=end)


_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
#: What people write who think of another language, in the order of looking.
_SLIPS = tuple(
    (re.compile(pattern), cure)
    for pattern, cure in (
        ("[\u2018-\u201f\u00ab\u00bb]", "use plain quotes: \" or '"),
        ("===", "use == to compare"),
        ("=<", "use <="),
        ("=>", "use >="),
        ("<>", "use !="),
        ("&&", "use and"),
        (r"\|\|", "use or"),
        ("!(?!=)", "use not"),
        (
            r"(?<=[\w)\]] )(?:contains|startswith|endswith|matches) +\w",
            "write such as contains(a, b)",
        ),
        (r"\bAND\b", "use and"),
        (r"\bOR\b", "use or"),
        (r"\bNOT\b", "use not"),
        ("(?<![<>=!:])=(?!=)", "use == to compare"),
    )
)
#: YAML ends a text between brackets at a comma, also one between two arguments.
_IN_BRACKETS = "close it; inside a YAML list in [ ], put quotes around the whole condition"
_REFUSED: dict[type[ast.expr], tuple[str, str]] = {
    ast.JoinedStr: ("a text with values in it", "conditions compare; only templates make text"),
    ast.NamedExpr: ("an assignment", "use == to compare"),
    ast.Lambda: ("a function of one's own", "the listed functions are all there are"),
    ast.Dict: ("a map", "write lists and tuples only"),
    ast.Set: ("a set", "write a list: [ … ]"),
    ast.Slice: ("a slice", "use startswith(), endswith() or contains()"),
    ast.Starred: ("a starred value", "write the values one by one"),
    **dict.fromkeys(
        (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
        ("a loop", "use any_of() or all_of() with written conditions"),
    ),
}


def _outside_quotes(pattern: re.Pattern[str], line: str) -> int | None:
    """Return where ``pattern`` is found outside of quoted text, or None."""
    bare = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), line)
    found = pattern.search(bare)
    return found.start() if found else None


def _not_in_language(node: ast.expr) -> tuple[str, str]:
    """Return what is wrong with a kind of expression that Python has and we have not."""
    match node:
        case ast.BinOp(op=ast.BitOr()):
            return "filters belong in templates", "call a function instead, such as lower(x)"
        case ast.BinOp() | ast.UnaryOp():
            return "conditions have no arithmetic", "compare with a written number"
        case _:
            what, cure = _REFUSED.get(type(node), ("something the language has not", ""))
            return f"conditions cannot have {what}", cure
