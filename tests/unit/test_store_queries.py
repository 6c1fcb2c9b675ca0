"""What people see of a store while imbot writes it."""

import sqlite3
from datetime import timedelta

import pytest

from imbot.errors import ConfigError, StoreError
from imbot.model import Reason, Suppressed
from imbot.records import (
    EchoSeen,
    EffectState,
    EventHandled,
    EventSeen,
    GapSeen,
    RunState,
)
from imbot.store.database import open_store
from imbot.store.queries import open_views
from imbot.store.views import EventView, RunView
from tests.unit.store_samples import (
    T0,
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
WHY = Suppressed("bye", Reason.ONCE, "acted already")
GAP = GapSeen("bot1", ("s1", "s9"), "a poll was lost", after(-60), after(3))


@pytest.fixture
async def store(tmp_path):
    store = open_store(URL, clock=StoppedClock(), base=tmp_path, executor="inline")
    yield store
    store.abandon()


@pytest.fixture
async def views(store, tmp_path):
    """Two sessions, one greeted and one with a parked reply, while the store stays open."""
    greeting, parked = intent(1), intent(3, session_id="s2")
    await store.commit(
        [
            seen("s1", mine=True, talking_at=T0),
            EventSeen(event(1)),
            EventHandled("bot1-1", after(0.1), ("greet",), (WHY,)),
            run(1),
            greeting,
            verdict(greeting, EffectState.ACCEPTED, at=after(0.25)),
            EchoSeen(greeting.effect_id, after(0.5)),
            run(1, RunState.DONE, at=after(1)),
            EventSeen(message(2, "hi")),
            seen("s2", first_seen_at=after(10), completed_at=after(20)),
            EventSeen(event(3, session_id="s2")),
            run(3, RunState.FAILED, session_id="s2", at=after(12)),
            parked,
            verdict(parked, EffectState.PARKED, at=after(12), detail="no echo came"),
            GAP,
            GapSeen("bot2", ("s1",), "another agent's", T0, after(3)),
            GapSeen("bot1", ("s1",), "long before", after(-90), after(-80)),
        ]
    )
    with open_views(URL, base=tmp_path) as opened:
        yield opened


async def test_sessions_come_newest_first_with_what_befell_them(views):
    second, first = views.sessions()

    assert (first.seen, first.number, first.messages) == (
        seen("s1", mine=True, talking_at=T0),
        "+49 30 1",
        1,
    )
    assert (first.effects, first.parked, first.gaps) == ({EffectState.CONFIRMED: 1}, (), (GAP,))
    assert (second.seen.session.state, second.messages) == ("Completed", 0)
    assert [effect.intent.payload for effect in second.parked] == [{"text": "Hello"}]
    assert second.parked[0].detail == "no echo came"


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        ({"limit": 1}, ["s2"]),
        ({"agent": "bot1"}, ["s2", "s1"]),
        ({"agent": "bot2"}, []),
        ({"state": "Talking"}, ["s1"]),
        ({"agent": "bot1", "state": "Completed"}, ["s2"]),
    ],
)
async def test_sessions_can_be_chosen(views, asked, ids):
    assert [view.seen.session.id for view in views.sessions(**asked)] == ids


async def test_a_session_has_its_whole_history(views):
    (history,) = views.session("s1")

    assert history.events == (
        EventView(event(1), after(0.1), ("greet",), (WHY,)),
        EventView(message(2, "hi"), None, (), ()),
    )
    assert history.runs == (RunView(run(1, RunState.DONE, at=after(1)), T0),)
    (effect,) = history.effects
    assert (effect.answer_s, effect.echo_s) == (0.25, 0.5)
    assert history.view.gaps == (GAP,)


async def test_an_effect_without_an_answer_has_no_latency(store, tmp_path):
    await store.commit([seen(), intent()])

    with open_views(URL, base=tmp_path) as views:
        (effect,) = views.session("s1", agent="bot1")[0].effects

    assert (effect.answer_s, effect.echo_s) == (None, None)


async def test_a_run_that_began_a_session_is_in_its_history(store, tmp_path):
    """``initiate`` acts on a session that its event did not know."""
    started = run(1, session_id="new", at=T0)
    await store.commit([EventSeen(event(1)), started, seen("new"), intent(1, session_id="new")])

    with open_views(URL, base=tmp_path) as views:
        (history,) = views.session("new")

    assert [view.run for view in history.runs] == [started]
    assert history.events == ()


async def test_both_ends_of_a_call_are_two_sessions(store, tmp_path):
    await store.commit([seen("s1"), seen("s1", agent="bot2")])

    with open_views(URL, base=tmp_path) as views:
        assert [h.view.seen.agent for h in views.session("s1")] == ["bot1", "bot2"]
        assert len(views.session("s1", agent="bot2")) == 1
        assert views.session("unknown") == ()


async def test_the_first_of_what_is_parked_can_be_asked_for(store, tmp_path):
    """After a day without GWS there are thousands."""
    for number in range(3):
        await store.commit([intent(number), verdict(intent(number), EffectState.PARKED)])

    with open_views(URL, base=tmp_path) as views:
        ids = [one.view.effect.intent.effect_id for one in views.parked_views(2)]
        assert ids == [intent(0).effect_id, intent(1).effect_id]
        assert len(views.parked_views()) == 3
        assert views.parked_views()[0].session is None


async def test_rules_are_told_apart(store, tmp_path):
    """Each with the runs of its own, by its id."""
    runs = [run(n, RunState.DONE, rule_id=f"r{n % 2}", at=after(n)) for n in range(5)]
    await store.commit([*runs, run(9, RunState.FAILED, rule_id="r1", at=after(9))])

    with open_views(URL, base=tmp_path) as views:
        assert [(one.rule_id, one.runs, one.last_at) for one in views.rules()] == [
            ("r0", {RunState.DONE: 3}, after(4)),
            ("r1", {RunState.DONE: 2, RunState.FAILED: 1}, after(9)),
        ]
        assert [one.rule_id for one in views.rules(["r1", "none"])] == ["r1"]


async def test_runs_of_rules_are_counted_without_reading_them(store, tmp_path):
    """There are as many as there were events; pages ask again with each that is decided."""
    await store.commit([run(1, RunState.DONE)])
    seen = []
    with open_views(URL, base=tmp_path) as views:
        connection = views._database.connection.connection.driver_connection
        connection.set_trace_callback(seen.append)
        views.rules()
        views.rules(["r1"])
        connection.set_trace_callback(None)
        plans = [
            row[-1]
            for statement in seen
            if "GROUP BY" in statement
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert plans
    assert all("COVERING INDEX runs_by_rule" in plan for plan in plans), plans


async def test_parked_effects_gaps_and_rules_have_lists(views):
    assert [effect.intent.session_id for effect in views.parked()] == ["s2"]
    assert [gap.reason for gap in views.gaps()][-1] == "long before"
    assert len(views.gaps(1)) == 1
    (rule,) = views.rules()
    assert (rule.rule_id, rule.runs, rule.last_at) == (
        "greet",
        {RunState.DONE: 1, RunState.FAILED: 1},
        T0 + timedelta(seconds=12),
    )


async def test_views_see_what_is_committed_while_they_are_open(store, views):
    await store.commit([seen("s3", first_seen_at=after(30))])

    assert views.sessions()[0].seen.session.id == "s3"


async def test_views_can_be_opened_when_imbot_is_not_running(store, tmp_path):
    await store.commit([seen("s1")])
    await store.close()

    with open_views(URL, base=tmp_path) as opened:
        assert len(opened.sessions()) == 1


async def test_views_cannot_write(views):
    with pytest.raises(StoreError, match="may not be written to"):
        views._database.write([("DELETE FROM events", ())])


def test_a_store_that_cannot_be_viewed_says_why(tmp_path):
    with pytest.raises(StoreError, match="there is none yet; `imbot run` makes it"):
        open_views(URL, base=tmp_path)
    with pytest.raises(StoreError, match="in memory"):
        open_views("sqlite://", base=tmp_path)
    with pytest.raises(ConfigError):
        open_views("postgresql://x/y", base=tmp_path)
    (tmp_path / "store.db").write_text("dear diary " * 100)
    with pytest.raises(StoreError, match="not a database"):
        open_views(URL, base=tmp_path)


@pytest.mark.parametrize(("version", "words"), [("0", "imbot run"), ("99", "newer imbot")])
async def test_a_store_of_another_version_is_not_read(store, tmp_path, version, words):
    """What its columns mean is not known."""
    await store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.execute("UPDATE meta SET value = ?", (version,))
    connection.close()

    with pytest.raises(StoreError, match=words):
        open_views(URL, base=tmp_path)
