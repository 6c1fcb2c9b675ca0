"""Names that a rule's author gives: to rules, blocks and webhooks, and to what steps bind."""

import re

from imbot.problems import Place
from imbot.rulebook.reading import Desk
from imbot.rulebook.scope import ANY, Names
from imbot.yamlfile import Node

_TAKEN = frozenset({"session", "participant", "event", "message", "agent", "bot", "vars", "error"})

#: What rules, blocks and webhooks may be called.
_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


def is_title(node: Node, text: str, desk: Desk, *, of: str) -> bool:
    """Whether a text can be what ``of`` says, such as "an id"; it is reported if not."""
    if _TITLE.fullmatch(text):
        return True
    cure = "use up to 80 letters (a to z), digits, '-', '_' and '.'"
    code = "bad-id" if of == "an id" else "bad-name"
    desk.error(node.place, code, f"'{text[:80]}' cannot be {of}", cure)
    return False


def check_name(node: Node, desk: Desk) -> None:
    """Report a name that cannot be given."""
    name = desk.text(node, "as")
    if name in _TAKEN:
        what, cure = f"'{name}' has a meaning of its own", "choose another name"
        desk.error(node.place, "taken-name", what, cure)
    elif name is not None and not (name.isidentifier() and name.isascii()):
        cure = "use letters (a to z), digits and _"
        desk.error(node.place, "bad-name", f"'{name}' cannot be a name", cure)


def either(names: Names, others: Names) -> Names:
    """Return the names that either of two branches has; of unlike types nothing is known."""
    for name, type_ in others.types.items():
        known = names.types.get(name)
        if known is None:
            names = names.bind(name, type_)
        elif known != type_:
            names = names.bind(name, ANY)
    return names


def bound_in(steps: Node, name: str) -> Place | None:
    """Return where a step in or below a node binds a name; None where none does."""
    waiting = [steps]
    while waiting:
        node = waiting.pop()
        if (bound := node.get("as")) is not None and bound.raw == name:
            return bound.place
        if (let := node.get("let")) is not None and (entry := let.entries.get(name)) is not None:
            return entry.key.place
        waiting += reversed((*node.items, *(entry.value for entry in node.entries.values())))
    return None
