"""The only door to Jinja2, of which nothing but the parser is used: its tree becomes ours."""

import re
import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache
from typing import Any, cast

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.lexer import TokenStream

from imbot.rulebook.syntax import LARGEST, NotInLanguageError, Source
from imbot.rulebook.tree import (
    DEEPEST,
    Call,
    Choice,
    Compare,
    Const,
    Field,
    Form,
    Item,
    Items,
    Junction,
    Name,
    Not,
    Tree,
)

#: A whole text, in characters.
LONGEST_SOURCE = 16_384
#: One ``{{ … }}``, in characters.
LONGEST_HOLE = 2048

_UNCLOSED = "unclosed "
_UNEXPECTED = re.compile(r"unexpected char ['\"]\\?(.)")
_CLOSING = {"{{": "}}", "{#": "#}"}
_STATEMENT = "templates have no statements"
_TOO_LONG = f"{{{{ … }}}} longer than {LONGEST_HOLE} characters"
#: What Jinja says, and what people usually did.
_SLIPS = {
    "got '='": "use == to compare",
    _STATEMENT: "write {{ … }} only; steps have if",
    _TOO_LONG: "split it",
    "Expected an expression": "write a value there",
    "token 'name'": "write a name there",
}
_QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"


def read_template(source: Source) -> Iterator[str | Tree]:
    """Yield the text and the trees of a template, in order.

    Raises:
        NotInLanguageError: It is no template.
    """
    if len(source.text) > LONGEST_SOURCE:
        raise _refused(source, 0, f"a template longer than {LONGEST_SOURCE} characters", "split it")
    reader = _Reader(source)
    for part in _parsed(source):
        if isinstance(part, nodes.TemplateData):
            yield part.data
        else:
            yield reader.tree(part, 1)


def _parsed(source: Source) -> Iterator[nodes.Expr]:
    """Yield Jinja's nodes, whose ``lineno`` is the offset in the source."""
    try:
        # A text such as "\d" is fine here; Python would rather have it raw.
        with warnings.catch_warnings(action="ignore") if "\\" in source.text else nullcontext():
            body = _jinja().parse(source.text).body
    except TemplateSyntaxError as error:
        raise _refused(source, error.lineno, *_slip(error.message or "")) from error
    except SyntaxError as error:  # Jinja lets Python read numbers, and takes any script's digits
        raise _refused(source, 0, f"no template that can be read ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise _refused(source, 0, f"no template that can be read ({error})") from error
    # Statements were refused with their first token; what is left is output.
    for output in body:
        yield from cast("nodes.Output", output).nodes


def _slip(message: str) -> tuple[str, str]:
    """Return what is wrong, in our words, and the cure."""
    message = message.replace("end of print statement", "}}").rstrip(".")
    if (found := _UNEXPECTED.match(message)) is not None:
        return _unexpected(found[1])
    if message.startswith(_UNCLOSED):
        return message, f"close it with {_CLOSING[message[-2:]]}"
    return message, next((cure for said, cure in _SLIPS.items() if said in message), "")


def _unexpected(character: str) -> tuple[str, str]:
    if character in "'\"":
        return "a quote that does not end", f"close it with {character}"
    cure = "use plain quotes: \" or '" if character in _QUOTES else ""
    return f"unexpected character '{character}'", cure


def _refused(source: Source, offset: int, what: str, cure: str = "") -> NotInLanguageError:
    return NotInLanguageError(source.problem(offset, "bad-template", what, cure))


class _Jinja(Environment):
    """Jinja's parser with offsets instead of line numbers, and without statements."""

    def __init__(self) -> None:
        super().__init__(keep_trailing_newline=True)

    def _tokenize(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        tokens = _with_offsets(source, self.lexer.tokeniter(source, name, filename, state))
        return TokenStream(self.lexer.wrap(tokens, name, filename), name, filename)


@cache
def _jinja() -> _Jinja:
    """Return the parser, which keeps nothing of what it has read."""
    return _Jinja()


def _with_offsets(
    source: str, tokens: Iterator[tuple[int, str, str]]
) -> Iterator[tuple[int, str, str]]:
    """Yield Jinja's tokens with their offset in ``source`` in place of their line.

    Raises:
        TemplateSyntaxError: It is no template; its ``lineno`` is an offset too.
    """
    offset = 0
    opened: int | None = None
    try:
        for _, kind, value in tokens:
            # What "{{-" strips is no token, so the offset cannot be counted, only found.
            offset = source.index(value, offset)
            if kind in {"variable_begin", "comment_begin"}:
                opened = offset
            elif kind in {"variable_end", "comment_end"}:
                opened = None
            elif opened is not None and kind != "comment" and offset - opened > LONGEST_HOLE:
                break
            yield offset, _allowed(kind, offset), value
            offset += len(value)
    except TemplateSyntaxError as error:
        if opened is None or _CLOSING[source[opened : opened + 2]] in source[opened:]:
            raise TemplateSyntaxError(error.message or "", offset) from error
    if opened is not None and offset - opened > LONGEST_HOLE and "}}" in source[opened:]:
        raise TemplateSyntaxError(_TOO_LONG, opened)
    if opened is not None:
        raise TemplateSyntaxError(f"{_UNCLOSED}{source[opened : opened + 2]}", opened)


def _allowed(kind: str, offset: int) -> str:
    if kind in {"block_begin", "raw_begin"}:
        raise TemplateSyntaxError(_STATEMENT, offset)
    return kind


_OPERATORS = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "lteq": "<=",
    "gt": ">",
    "gteq": ">=",
    "in": "in",
    "notin": "not in",
}
_REFUSED: dict[type[nodes.Expr], tuple[str, str]] = {
    nodes.Concat: ("templates do not join with ~", "write the values side by side: {{ a }}{{ b }}"),
    nodes.Dict: ("a template cannot make a map", "write the map in YAML, with templates in it"),
    nodes.Slice: ("templates have no slices", "use truncate, first or last"),
}


class _Reader:
    """Turns Jinja's syntax tree into ours."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def tree(self, node: nodes.Expr, depth: int) -> Tree:  # noqa: C901, PLR0911, PLR0912  one case per node
        at, below = node.lineno, depth + 1
        if depth > DEEPEST:
            raise self._no(at, f"nested deeper than {DEEPEST}", "split it")
        match node:
            case nodes.Const(value=value):
                return Const(self._constant(value, at), at=at)
            case nodes.Neg(node=nodes.Const(value=int() | float() as value)):
                return Const(-self._constant(value, at), at=at)
            case nodes.Name(name=name):
                return Name(name, at=at)
            case nodes.Getattr(node=of, attr=attr):
                return self._field(self.tree(of, below), attr, at)
            case nodes.Getitem(node=of, arg=index) if not isinstance(index, nodes.Slice):
                owner = self.tree(of, below)
                at = owner.at if isinstance(owner, Name | Field | Item) else at
                return Item(owner, self.tree(index, below), at=at)
            case nodes.Filter() | nodes.Test() | nodes.Call():
                return self._call(node, below)
            case nodes.Compare(expr=first, ops=ops):
                return self._compare(first, ops, below)
            case nodes.And(left=left, right=right) | nodes.Or(left=left, right=right):
                parts = (self.tree(left, below), self.tree(right, below))
                return Junction(isinstance(node, nodes.And), parts, at=at)
            case nodes.Not(node=of):
                return Not(self.tree(of, below), at=at)
            case nodes.CondExpr(test=test, expr1=then, expr2=otherwise) if otherwise is not None:
                three = (self.tree(part, below) for part in (test, then, otherwise))
                return Choice(*three, at=at)
            case nodes.CondExpr():
                raise self._no(at, "an if without else", "add else and what stands there then")
            case nodes.List(items=items) | nodes.Tuple(items=items):
                return Items(tuple(self.tree(item, below) for item in items), at=at)
            case nodes.BinExpr(operator=operator, right=right):
                found = self._source.text.rfind(operator, at, right.lineno)
                raise self._no(found, "templates have no arithmetic", "let a condition decide")
            case nodes.UnaryExpr():
                raise self._no(at, "templates have no arithmetic", "let a condition decide")
            case nodes.Concat(nodes=[_, right, *_]):
                found = self._source.text.rfind("~", at, right.lineno)
                raise self._no(found, *_REFUSED[nodes.Concat])
            case _:
                kind = node.arg if isinstance(node, nodes.Getitem) else node
                what, cure = _REFUSED.get(type(kind), ("templates have no such thing", ""))
                raise self._no(at, what, cure)

    def _field(self, owner: Tree, name: str, dot: int) -> Tree:
        at = self._source.text.index(name, dot)
        if isinstance(owner, Name | Field | Item):
            return Field(owner, name, at=owner.at, end=at + len(name))
        return Field(owner, name, at=at)

    def _no(self, offset: int, what: str, cure: str = "") -> NotInLanguageError:
        return _refused(self._source, offset, what, cure)

    def _constant(self, value: object, at: int) -> Any:  # noqa: ANN401  a literal
        if isinstance(value, int | float) and not -LARGEST <= value <= LARGEST:
            raise self._no(at, "a number that is too large", "write long ids as text in quotes")
        return value

    def _compare(self, first: nodes.Expr, ops: list[nodes.Operand], depth: int) -> Tree:
        at = first.lineno
        rest = tuple((_OPERATORS[each.op], self.tree(each.expr, depth)) for each in ops)
        if len(rest) > 1 and any(op in {"in", "not in"} for op, _ in rest):
            raise self._no(at, "'in' cannot be chained", "write two comparisons joined by and")
        return Compare(self.tree(first, depth), rest, at=at)

    def _call(self, node: nodes.Filter | nodes.Test | nodes.Call, depth: int) -> Tree:
        at = node.node.lineno if isinstance(node, nodes.Call) else node.lineno
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise self._no(at, "starred arguments", "write the arguments one by one")
        args = tuple(self.tree(arg, depth) for arg in node.args)
        keywords = tuple((str(pair.key), self.tree(pair.value, depth)) for pair in node.kwargs)
        if isinstance(node, nodes.Call):
            return Call(self._function(node), args, keywords, at=at)
        form = Form.FILTER if isinstance(node, nodes.Filter) else Form.TEST
        # Only a filter block, which is a statement, has no value before it.
        value = self.tree(cast("nodes.Expr", node.node), depth)
        match value:
            case Call(name="localtime", form=Form.FILTER, args=(moment, *zone)) if (
                node.name == "isoformat" and form is Form.FILTER and not args
            ):
                # Behind localtime it shows that local time, not the text localtime made of it.
                return Call(node.name, (moment, *zone[:1]), form=form, at=at)
            case _:
                # A test's node begins at its "is"; the parts of a dotted name may stand apart.
                at = self._source.text.index(node.name.partition(".")[0], at)
                return Call(node.name, (value, *args), keywords, form, at=at)

    def _function(self, node: nodes.Call) -> str:
        match node.node:
            case nodes.Name(name=name):
                return str(name)
            case nodes.Getattr(attr=attr):
                raise self._no(node.node.lineno + 1, "values have no methods", f"use | {attr}")
            case _:
                raise self._no(node.lineno, "only functions can be called")
