"""What forms of the dashboard do: which route of the API each asks, and with what."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imbot.admin import forms
from imbot.model import JSON

#: The fields of a form, each with everything that was given under its name.
Fields = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Deed:
    """A form of the dashboard.

    Attributes:
        path: Where it is sent to, with ``{names}``.
        asks: Method and path of the route that does it.
        body: Makes the route's body of the fields; None for a route that takes none.
        told: What was done, in a sentence, by the answer of the route.
    """

    path: str
    asks: tuple[str, str]
    body: Callable[[Fields], JSON] | None
    told: Callable[[Any], str]


#: A rule's switch in words, by whether it has it run in shadow.
_SHADOW = {True: "runs in shadow", False: "runs live", None: "is switched"}


def first(fields: Fields, name: str) -> str:
    """Return what was given under a name, the first of it; empty for nothing."""
    return next(iter(fields.get(name, ())), "")


def _switched(fields: Fields) -> JSON:
    state = first(fields, "state")
    return {
        "off": state == "off",
        "shadow": {"shadow": True, "live": False}.get(state),
        "per_session": first(fields, "per_session").strip() or None,
        "per_minute": first(fields, "per_minute").strip() or None,
    }


def _ordered(answer: forms.OrderedForm, done: str) -> str:
    refused = [f"{each}: {why}" for each, why in answer.refused.items()]
    return "; ".join([f"{len(answer.ordered)} {done}", *refused])


def _told_of_rule(answer: forms.RuleForm) -> str:
    over = answer.switch
    if over is None:
        return f"{answer.id} is as its file says"
    budgets = [
        f"{budget} effects per {span}"
        for span, budget in (("session", over.per_session), ("minute", over.per_minute))
        if budget is not None
    ]
    state = "is off" if over.off else _SHADOW[over.shadow]
    return ", ".join([f"{answer.id} {state}", *budgets])


def _told_of_calendars(answer: forms.CalendarsForm) -> str:
    closed = [each.name for each in answer.calendars if each.closed]
    return f"closed by hand: {', '.join(closed)}" if closed else "the hours of each calendar count"


#: Every form.
DEEDS: Sequence[Deed] = (
    Deed(
        *("/do/halt", ("PUT", "/halt")),
        lambda fields: {"why": first(fields, "why")},
        lambda _: "all effects are stopped",
    ),
    Deed(
        *("/do/release", ("DELETE", "/halt"), None),
        lambda _: "effects go on, those of what happens from now",
    ),
    Deed(
        *("/do/calendars/{calendar}", ("PUT", "/calendars/{calendar}")),
        lambda fields: {"closed": first(fields, "closed") == "yes"},
        _told_of_calendars,
    ),
    Deed(
        *("/do/rules/{rule}", ("PUT", "/rules/{rule}/switch")),
        _switched,
        _told_of_rule,
    ),
    Deed(
        *("/do/parked/resend", ("POST", "/parked/resend")),
        lambda fields: {"effects": list(fields.get("effect", ()))},
        lambda answer: _ordered(answer, "will be sent again"),
    ),
    Deed(
        *("/do/parked/drop", ("POST", "/parked/drop")),
        lambda fields: {"effects": list(fields.get("effect", ()))},
        lambda answer: _ordered(answer, "are given up"),
    ),
    Deed(
        *("/do/reload", ("POST", "/reload"), None),
        lambda answer: answer.done,
    ),
)
