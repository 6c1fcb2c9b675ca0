"""What a step writes out in its file: its message, its keys, its templates."""

from collections.abc import Iterator

from imbot.rulebook.contradictions import contradiction, terms
from imbot.rulebook.facts import Equals, Refuted, Truthy
from imbot.rulebook.schema import Act, Enter, Instruction, Let, Log, Rule, Stop, Wait
from imbot.rulebook.templates import Template
from imbot.rulebook.values import Literal, Mapped, templates_in


def templates_of(step: Instruction) -> Iterator[Template]:
    """Yield the templates that a step renders."""
    match step:
        case Act(args=args):
            yield from templates_in(args)
        case Let(values=values) | Enter(inputs=values):
            for _, value in values:
                yield from templates_in(value)
        case Stop(reason=value) | Log(text=value) | Wait(seconds=value):
            yield from templates_in(value)
        case _:
            pass


def names_agent(act: Act) -> bool:
    """Whether a step names the agent that acts."""
    args = act.args
    if isinstance(args, Mapped):
        return "agent" in dict(args.entries)
    written = args.value if isinstance(args, Literal) else None
    return isinstance(written, dict) and written.get("agent") is not None


def text_of(act: Act) -> str | None:
    """Return the text that a message is written out as; None when a template makes it."""
    args = act.args
    value = args.value if isinstance(args, Literal) else None
    if isinstance(value, dict):
        value = value.get("text")
    if isinstance(args, Mapped):
        text = dict(args.entries).get("text")
        value = text.value if isinstance(text, Literal) else None
    return value if isinstance(value, str) else None


def is_ruled_out(rule: Rule, key: str, value: str) -> bool:
    """Whether a rule's ``when`` does not hold once a key of the user data has this value."""
    fact = Equals(("session", "userData", key), frozenset({value}))
    return contradiction([*terms(rule), fact]) is not None or any(
        isinstance(each, Refuted) and each.fact in (fact, Truthy(fact.path)) for each in terms(rule)
    )


def user_data_written(act: Act) -> list[tuple[str, str | None]]:
    """Return the keys that a step surely writes, with the value where it is written out."""
    args = act.args
    if act.action == "unset":
        listed = args.value if isinstance(args, Literal) else ()
        return [(str(key), None) for key in listed or ()]
    if act.action != "set":
        return []
    if isinstance(args, Mapped):
        return [
            (key, str(value.value) if isinstance(value, Literal) else None)
            for key, value in args.entries
        ]
    written = args.value if isinstance(args, Literal) else {}
    return [(str(key), str(value)) for key, value in (written or {}).items()]
