"""What befell sessions is read for all of them at once, and is what each one's history says."""

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.model import SessionKey
from imbot.records import EffectState, EventSeen, GapSeen
from imbot.store.database import open_store
from imbot.store.queries import open_views
from imbot.store.schema import gaps
from imbot.store.sessionviews import session_views, sessions_seen
from tests.unit.store_samples import (
    T0,
    StoppedClock,
    after,
    event,
    intent,
    message,
    seen,
    verdict,
)

URL = "sqlite:///store.db"
SAID = {EffectState.ACCEPTED, EffectState.CONFIRMED}
IDS = ("s1", "s2", "s3")


def written(folder, changes):
    """Write a store, and open it for reading."""

    async def write():
        store = open_store(URL, clock=StoppedClock(), base=folder, executor="inline")
        await store.commit(changes)
        await store.close()

    asyncio.run(write())
    return open_views(URL, base=folder)


happenings = st.lists(
    st.tuples(
        st.sampled_from(IDS),
        st.sampled_from(
            ["said", "happened", "gap", *(state.value for state in EffectState), "silent"]
        ),
    ),
    max_size=15,
)


def changes_of(happened):
    """Yield the changes of what happened to sessions, all held by two agents of ours."""
    for number, session_id in enumerate(IDS):
        yield seen(session_id, first_seen_at=after(number))
        yield seen(session_id, agent="bot2", first_seen_at=after(-number))
    for number, (session_id, what) in enumerate(happened):
        if what == "said":
            yield EventSeen(message(number, "hi", session_id=session_id))
        elif what == "happened":
            yield EventSeen(event(number, session_id=session_id))
        elif what == "gap":
            yield GapSeen("bot1", (session_id, "other"), "x", T0, after(number - 5))
        else:
            echo = None if what == "silent" else "Hello"
            state = EffectState.ACCEPTED if what == "silent" else EffectState(what)
            of = intent(number, session_id=session_id, echo=echo)
            yield from (of, verdict(of, state))


@settings(max_examples=40, deadline=None)
@given(happenings)
def test_a_list_says_of_each_session_what_its_history_says(happened):
    """Two ways to read the same: grouped for all, and row by row."""
    with (
        tempfile.TemporaryDirectory() as folder,
        written(Path(folder), list(changes_of(happened))) as views,
    ):
        listed = {(view.seen.agent, view.seen.session.id): view for view in views.sessions()}
        assert listed.keys() == {(agent, each) for agent in ("bot1", "bot2") for each in IDS}
        for (agent, session_id), view in listed.items():
            (history,) = views.session(session_id, agent=agent)
            held = [one.effect for one in history.effects]
            assert view.messages == sum(one.event.kind == "message" for one in history.events)
            assert view.effects == Counter(one.state for one in held)
            assert view.replies == sum(one.state in SAID and bool(one.intent.echo) for one in held)
            assert view.parked == tuple(one for one in held if one.state is EffectState.PARKED)
            ended = [
                number - 5
                for number, (of, what) in enumerate(happened)
                if (of, what, agent) == (session_id, "gap", "bot1")
            ]
            assert [gap.ended_at for gap in view.gaps] == [
                after(each) for each in ended if after(each) >= view.seen.first_seen_at
            ]


@pytest.mark.parametrize("most", [1, 50])
def test_many_sessions_take_as_many_statements_as_one(tmp_path, most):
    """Else a page of sessions is slow, and the slower the more there are."""
    asked = []
    with written(tmp_path, [seen(f"s{number}") for number in range(60)]) as views:
        found = views._found

        def counting(statement):
            asked.append(statement)
            return found(statement)

        views._found = counting
        assert len(views.sessions(most)) == most
    assert len(asked) == 5


def test_no_sessions_take_no_statement():
    def never(statement):
        raise AssertionError(statement)

    assert session_views(never, []) == ()
    assert sessions_seen(never, []) == {}


def test_every_statement_finds_its_sessions_by_an_index(tmp_path):
    """A table of millions of rows must not be read for a page; gaps are few, and read in order."""
    with written(tmp_path, [seen(f"s{number}") for number in range(3)]) as views:
        asked, found = [], views._found

        def looking(statement):
            asked.append(statement)
            return found(statement)

        shown = [view.seen for view in views.sessions()]
        session_views(looking, shown)
        sessions_seen(looking, [SessionKey(one.agent, one.session.id) for one in shown])
        connection = views._database.connection
        for statement in [each for each in asked if gaps not in each.get_final_froms()]:
            sql = statement.compile(
                connection, compile_kwargs={"literal_binds": True, "render_postcompile": True}
            )
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()
            assert any("SEARCH" in row[3] for row in plan), plan
            assert not any(row[3].startswith("SCAN") for row in plan), plan
