"""``imbot parked``: the effects that wait for a person, and what is to become of them.

Resend and drop are orders: they are written down, and the imbot of this store carries them out.
"""

import os
import pwd
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from imbot.admin.telling import carried
from imbot.cli.output import complain, one_line, print_table
from imbot.cli.settings import load
from imbot.config import Loaded
from imbot.engine.orders import why_not_resent
from imbot.records import Order, OrderGiven, OrderKind, SessionSeen
from imbot.store.lock import is_used
from imbot.store.orders import About, open_orders
from imbot.store.queries import existing_path, open_views
from imbot.store.views import ParkedView

#: What can be done.
Deed: TypeAlias = Literal["list", "show", "resend", "drop"]

_COLUMNS = ("id", "agent", "session", "rule", "action", "what", "why", "since", "order")

_BECOMES = {OrderKind.RESEND: "sent", OrderKind.DROP: "dropped"}


def parked(
    deed: Deed,
    ids: Sequence[str],
    path: Path | None,
    options: Sequence[str] = (),
    *,
    as_json: bool = False,
) -> int:
    """List what is parked, show some of it, or order what is to become of it.

    Return 1 when there is no such effect or an order is refused, 2 when ids are missing or extra.
    """
    if bool(ids) is (deed == "list"):
        is_list = deed == "list"
        complain(
            "'list' takes no id" if is_list else f"name what to {deed}: imbot parked {deed} ID"
        )
        return 2
    loaded = load(path, options)
    match deed:
        case "list":
            return _list(loaded, as_json=as_json)
        case "show":
            return max(_show(loaded, each, as_json=as_json) for each in ids)
        case "resend" | "drop":
            return max(_order(loaded, OrderKind(deed), each) for each in ids)


def _list(loaded: Loaded, *, as_json: bool) -> int:
    with open_views(loaded.settings.store, base=loaded.base) as views:
        found = views.parked_views()
    print_table("Parked", _COLUMNS, map(_row, found), as_json=as_json)
    return 0


def _row(parked: ParkedView) -> tuple[object, ...]:
    effect = parked.view.effect
    intent = effect.intent
    return (
        intent.effect_id,
        intent.agent,
        intent.session_id,
        intent.rule_id,
        intent.action,
        carried(effect.intent),
        effect.detail,
        parked.view.settled_at,
        next((_told(order) for order in parked.orders if order.taken is None), None),
    )


# One effect -----------------------------------------------------------------------------------


def _show(loaded: Loaded, effect_id: str, *, as_json: bool) -> int:
    with open_views(loaded.settings.store, base=loaded.base) as views:
        found = views.effect(effect_id)
    if found is None:
        complain(f"{effect_id}: there is no such effect in {loaded.settings.store}")
        return 1
    facts = _facts(found)
    if as_json:
        print_table("", tuple(facts), [tuple(facts.values())], as_json=True)
    else:
        told = [(name, value) for name, value in facts.items() if value not in (None, "", ())]
        print_table(f"Effect {effect_id}", ("what", "is"), told, as_json=False)
    return 0


def _facts(parked: ParkedView) -> dict[str, object]:
    """Return all that a person who decides may ask."""
    effect, seen = parked.view.effect, parked.session
    intent = effect.intent
    return {
        "id": intent.effect_id,
        "state": effect.state.value,
        "why": effect.detail,
        "rule": intent.rule_id,
        "action": intent.action,
        "operation": intent.operation,
        "payload": intent.payload,
        "agent": intent.agent,
        "session": intent.session_id,
        "session is": None if seen is None else seen.session.state,
        "number": next((p.phoneNumber for p in seen.session.participants), "") if seen else None,
        "attempts": intent.attempt,
        "last sent": intent.at,
        "since": parked.view.settled_at,
        "orders": tuple(map(_told, parked.orders)),
        "cannot be resent": why_not_resent(intent, is_over=_is_over(seen)),
    }


# Orders ---------------------------------------------------------------------------------------


def _order(loaded: Loaded, kind: OrderKind, effect_id: str) -> int:
    """Write an order down, and say what becomes of it."""
    given = OrderGiven(effect_id, kind, _user(), datetime.now(UTC))

    def why_not(about: About) -> str:
        if kind is OrderKind.DROP:
            return ""
        return why_not_resent(about.effect.intent, is_over=_is_over(about.session))

    with open_orders(loaded.settings.store, base=loaded.base) as book:
        refused = book.give(given, why_not)
    if refused:
        complain(f"{effect_id}: {refused}")
        return 1
    by_whom = "by the running imbot"
    if not is_used(existing_path(loaded.settings.store, loaded.base)):
        by_whom = "when imbot is started"
    print(f"{one_line(effect_id)}: will be {_BECOMES[kind]} {by_whom}")
    return 0


def _is_over(seen: SessionSeen | None) -> bool:
    return seen is not None and seen.session.is_completed


def _user() -> str:
    """Return who gives an order: the user of this process, and whom sudo knows behind it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"user {os.getuid()}"
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {name}" if behind and behind != name else name


def _told(order: Order) -> str:
    """Return an order in words."""
    given, taken = order.given, order.taken
    told = f"{given.kind} by {given.by} at {given.at.astimezone():%Y-%m-%d %H:%M:%S}"
    if taken is None:
        return f"{told}, not taken up yet"
    return f"{told}, refused: {taken.refused}" if taken.refused else f"{told}, taken up"
