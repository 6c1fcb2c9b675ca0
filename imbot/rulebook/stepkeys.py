"""Which key of a step says what it does: an action's name, or a word of the language."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from imbot.plugin import Action
from imbot.problems import did_you_mean
from imbot.rulebook import origins
from imbot.rulebook.reading import Desk
from imbot.rulebook.values import STEP_OPTIONS
from imbot.yamlfile import Entry, Kind, Node

#: The steps of the language, each with what may stand beside it besides ``name`` and ``enabled``.
LANGUAGE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys(("let", "if", "stop", "parallel", "call"), frozenset[str]()),
        "log": frozenset({"even_if_completed"}),
        "wait": frozenset({"even_if_completed"}),
        "wait_for": frozenset({"as", "timeout", "even_if_completed"}),
    }
)
#: What belongs to an ``if``.
BRANCHES: Final = frozenset({"then", "else"})
#: What other languages, and GWS itself, call an action.
_ELSEWHERE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("send", "say", "answer", "message", "sendmessage"), "reply"),
        **dict.fromkeys(("end", "close", "finish", "hangup"), "complete"),
        **dict.fromkeys(("tag", "update", "attachuserdata", "updateuserdata"), "set"),
        **dict.fromkeys(("untag", "remove", "deleteuserdata"), "unset"),
        **dict.fromkeys(("begin", "start", "dial", "initiateimsession"), "initiate"),
        **dict.fromkeys(("print", "echo", "debug"), "log"),
        **dict.fromkeys(("request", "fetch"), "http"),
        **dict.fromkeys(("sleep", "delay", "pause"), "wait"),
        **dict.fromkeys(("block", "use", "include", "run"), "call"),
    }
)


def action_key(
    node: Node, actions: Mapping[str, Action[Any]], unavailable: Mapping[str, str], desk: Desk
) -> str | None:
    """Return the one key that says what a step does; None, and a problem, without one.

    Args:
        node: The step.
        actions: By name.
        unavailable: Action to why its plugin is not enabled.
        desk: Where mistakes are kept.
    """
    entries, known = node.entries, actions.keys() | LANGUAGE.keys()
    options = STEP_OPTIONS | (BRANCHES if "if" in entries else frozenset())
    keys = [key for key in entries if key not in options]
    right = [key for key in keys if key in known]
    if len(right) > 1:
        what = f"'{right[0]}' and '{right[1]}' in one step"
        cure = "make two steps of it"
        if right[0] == "if" and not BRANCHES & entries.keys():
            cure = f"write 'then:', and '- {right[1]}: …' below it"
        desk.error(entries[right[1]].key.place, "two-actions", what, cure)
        return None
    for key in keys:
        if key not in right:
            _unknown(key, entries[key], known if not right else options, unavailable, desk)
    if not keys and node.kind is Kind.MAP:
        what, cure = "a step that does nothing", "add an action such as 'reply: text'"
        desk.error(node.place, "no-action", what, cure)
    return right[0] if right else None


def _unknown(
    key: str,
    entry: Entry,
    known: frozenset[str] | set[str],
    unavailable: Mapping[str, str],
    desk: Desk,
) -> None:
    """Report a key of a step that is neither option nor action."""
    place = entry.key.place
    # Of a plugin that did not load only its own name is known, with which its actions begin.
    reason = unavailable.get(key) or unavailable.get(key.partition(".")[0])
    if reason is not None:
        what = f"the action '{key}' is not available: {reason}"
        is_disabled = "disabled" in reason
        cure = "enable its plugin in the settings" if is_disabled else "put its plugin right"
        desk.error(place, "unavailable-action", what, cure)
    elif known <= STEP_OPTIONS | BRANCHES:
        cure = did_you_mean(key, known)
        desk.error(place, "unknown-key", f"unknown key '{key}' in a step", cure)
    elif key in BRANCHES:
        desk.error(place, "unknown-key", f"'{key}' without 'if'", "add 'if: …'")
    else:
        cure = did_you_mean(key, known, elsewhere=_ELSEWHERE)
        if key in origins.METHODS and origins.ACTION in known:
            cure = f"write '{origins.ACTION}: {{{key}: …}}'"
            if entry.value.kind is Kind.LIST and "unset" in known:
                cure = "did you mean 'unset'?"
        desk.error(place, "unknown-action", f"unknown action '{key}'", cure)
