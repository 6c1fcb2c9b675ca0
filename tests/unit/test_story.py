"""The lines of a story as programs read them; what people read is tested with the commands."""

from dataclasses import replace

import pytest

from imbot.admin.story import LineKind, timeline
from imbot.engine.standing import error_name
from imbot.model import ALL_RULES, EventKind, Reason, Suppressed
from imbot.records import (
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    OrderGiven,
    OrderKind,
    OrderTaken,
    RunState,
)
from imbot.store.database import open_store
from imbot.store.queries import open_views
from tests.unit.store_samples import (
    StoppedClock,
    after,
    event,
    intent,
    message,
    run,
    seen,
    verdict,
)

URL = "sqlite:///store.db"


@pytest.fixture
async def told(tmp_path):
    """Return what writes changes and returns the story of session s1."""
    store = open_store(URL, clock=StoppedClock(), base=tmp_path, executor="inline")

    async def tell(*changes):
        await store.commit([seen("s1"), *changes])
        with open_views(URL, base=tmp_path) as views:
            (history,) = views.session("s1")
        return list(timeline(history))

    yield tell
    store.abandon()


def of(lines, *fields):
    return [tuple(getattr(line, field) for field in fields) for line in lines]


async def test_what_was_said_happened_and_came_back_are_told_apart(told):
    own = event(3, kind=EventKind.USERDATA, changed={"tier": {"new": "gold"}})
    lines = await told(
        EventSeen(message(1, "hi")), EventSeen(event(2)), EventSeen(replace(own, own=True))
    )

    assert of(lines, "kind", "event")[::2] == [
        (LineKind.MESSAGE, "bot1-1"),
        (LineKind.EVENT, "bot1-2"),
        (LineKind.OWN, "bot1-3"),
    ]
    assert of(lines, "kind", "event", "rule")[1] == (LineKind.UNDECIDED, "bot1-1", "")


async def test_a_decision_says_whether_the_rule_ran(told):
    """And for which event, so that a page can put it under it."""
    lines = await told(
        EventSeen(message(1, "hi")),
        EventHandled(
            "bot1-1",
            after(1),
            ("greet",),
            (
                Suppressed("tried", Reason.SHADOW, "shadow: true"),
                Suppressed("bye", Reason.ONCE, "done"),
                Suppressed(ALL_RULES, Reason.FLOOD, "too much"),
            ),
        ),
    )

    assert of(lines[1:], "kind", "rule", "event") == [
        (LineKind.RAN, "greet", "bot1-1"),
        (LineKind.SHADOWED, "tried", "bot1-1"),
        (LineKind.SUPPRESSED, "bye", "bot1-1"),
        (LineKind.SUPPRESSED, ALL_RULES, "bot1-1"),
    ]


async def test_an_effect_names_itself_its_rule_its_event_and_where_it_stands(told):
    said, would = intent(1), intent(2, in_shadow=True)
    lines = await told(said, verdict(said, EffectState.PARKED, detail="no echo came"), would)

    assert of(lines, "kind", "effect", "rule", "event", "state") == [
        (LineKind.EFFECT, said.effect_id, "greet", "bot1-1", "parked"),
        (LineKind.EFFECT, would.effect_id, "greet", "bot1-2", "shadow"),
    ]


async def test_orders_are_about_an_effect(told):
    lost = intent(1)
    lines = await told(
        lost,
        OrderGiven(lost.effect_id, OrderKind.RESEND, "ann", after(1)),
        OrderTaken(1, after(2), ""),
    )

    assert of(lines[1:], "kind", "effect", "rule", "state", "at") == [
        (LineKind.ORDER, lost.effect_id, "greet", "", after(1)),
        (LineKind.ORDER, lost.effect_id, "greet", "", after(2)),
    ]
    assert [line.what for line in lines] == ["reply of greet"] * 3


async def test_a_run_says_where_it_stands_and_what_it_was_rescued_from(told):
    error = {"step": "do/0", "kind": "permanent", "message": "no"}
    ended = run(1, RunState.DONE, bound={error_name("do/0"): error}, at=after(3))
    lines = await told(EventSeen(event(1)), ended)

    assert of(lines[-2:], "kind", "rule", "event", "effect", "state") == [
        (LineKind.RESCUED, "greet", "bot1-1", "", ""),
        (LineKind.RUN, "greet", "bot1-1", "", "done"),
    ]


async def test_a_run_that_waits_says_until_when(told):
    waiting = run(1, RunState.WAITING, due_at=after(60), at=after(3))
    *_, line = await told(EventSeen(event(1)), waiting)

    assert (line.kind, line.state) == (LineKind.RUN, "waiting")
    assert line.details.startswith("waiting until ")


async def test_our_own_marks_are_no_lines(told):
    """Nobody asks about them, and each session has one."""
    mark = event(1, kind=EventKind.USERDATA, changed={"imbot.auto.imbot.bot1": {"new": "1"}})

    assert await told(EventSeen(replace(mark, own=True))) == []


async def test_a_gap_is_about_no_rule(told):
    lines = await told(GapSeen("bot1", ("s1",), "a poll was lost", after(-1), after(3)))

    assert of(lines, "kind", "rule", "event", "effect", "state") == [(LineKind.GAP, "", "", "", "")]


def test_every_kind_says_what_it_means():
    """The reference is made of it."""
    assert all(kind.means.endswith(".") for kind in LineKind)
