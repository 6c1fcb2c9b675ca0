"""Damaged stores: detected before anything is acted on, or the damage is where nothing is."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from imbot.errors import StoreDamagedError, StoreError
from imbot.model import SessionKey
from imbot.records import (
    AckSeen,
    EffectState,
    EventHandled,
    EventSeen,
    OnceMarked,
    Retention,
    RuleSeen,
    RunState,
    TimerSet,
)
from imbot.store.database import open_store
from imbot.store.queries import open_views
from imbot.testing.virtual_loop import VirtualLoop
from tests.faults.corruption import RULES, campaign
from tests.flow.stage import staged
from tests.unit.store_samples import T0, StoppedClock, event, intent, run, seen, verdict

URL = "sqlite:///store.db"

#: How many stores the suite damages; IMBOT_CORRUPTIONS=1000 is a nightly size.
COUNT = int(os.environ.get("IMBOT_CORRUPTIONS", "100"))


@pytest.mark.timeout(3600)
def test_whatever_is_damaged_is_found_before_anything_is_acted_on(tmp_path):
    """SQLite itself misses about half of all flipped bits."""
    outcomes, wrong = campaign(tmp_path, COUNT)

    assert wrong == []
    assert sum(outcomes.values()) == COUNT
    # All three come about, or the damages are no test of the checks.
    assert min(outcomes[each] for each in ("refused", "mended", "harmless")) > COUNT / 20


def opened(folder, **options):
    return open_store(URL, clock=StoppedClock(), base=folder, executor="inline", **options)


async def damaged(folder, changes, statement):
    """Return a store that was closed with these changes, changed by nobody, and opened again."""
    store = opened(folder)
    await store.commit(changes)
    await store.close()
    connection = sqlite3.connect(folder / "store.db")
    assert connection.execute(statement).rowcount
    connection.commit()
    connection.close()
    return opened(folder)


async def test_a_run_of_which_an_effect_is_damaged_never_goes_on(tmp_path):
    """What it has said is not known any more; saying it again is worse than asking a person."""
    sending, other = intent(1), intent(2)
    changes = [EventSeen(event(1)), EventSeen(event(2)), run(1), run(2), sending, other]

    store = await damaged(
        tmp_path,
        [*changes, intent(1, 1)],
        "UPDATE effects SET payload = 'x' WHERE effect_id LIKE '%-1/greet/0/0'",
    )
    found = await store.recover(T0)

    assert [each.run_id for each, _ in found.runs] == ["bot1-2/greet"]
    assert [each.intent for each in found.effects] == [other]
    assert store.condition.quarantined == 1
    await store.close()
    with open_views(URL, base=tmp_path) as views:
        assert [each.intent.effect_id for each in views.parked()] == [intent(1, 1).effect_id]
        (history,) = views.session("s1") or [None]
    assert history is None


async def test_where_an_effect_does_not_say_whose_it_is_no_run_goes_on(tmp_path):
    store = await damaged(
        tmp_path,
        [EventSeen(event(1)), EventSeen(event(2)), run(1), run(2), intent(1)],
        "UPDATE effects SET effect_id = 'e', run_id = 'r'",
    )

    assert (await store.recover(T0)).runs == ()
    await store.close()


async def test_an_effect_whose_run_is_damaged_waits_for_a_person(tmp_path):
    store = await damaged(
        tmp_path, [EventSeen(event(1)), run(1), intent(1)], "UPDATE runs SET pc = 7"
    )
    found = await store.recover(T0)

    assert (found.runs, found.effects) == ((), ())
    assert found.parked == {intent(1).effect_id}
    await store.close()


async def test_a_run_whose_event_is_damaged_is_cancelled_and_its_session_has_a_gap(tmp_path):
    """And the number of that event is not given again: runs are named by it."""
    store = await damaged(
        tmp_path,
        [EventSeen(event(8)), EventHandled("bot1-8", T0), run(8), intent(8)],
        "UPDATE events SET kind = 'x'",
    )
    found = await store.recover(T0)

    assert (found.runs, found.parked) == ((), {intent(8).effect_id})
    await store.commit([seen()])
    await store.close()
    with open_views(URL, base=tmp_path) as views:
        ((gap,), (rule,)) = views.gaps(), views.rules()
    assert (gap.agent, gap.session_ids) == ("bot1", ("s1",))
    assert rule.runs == {RunState.CANCELLED: 1}
    assert found.last_event_number >= 1


async def test_a_damaged_mark_counts_as_set(tmp_path):
    """Where only the row says something else, the index still knows the scope."""
    mark = OnceMarked("greet", "session bot1/s1", "run", T0)

    store = await damaged(tmp_path, [mark], "UPDATE once_marks SET run_id = 'x'")

    assert await store.marked([("greet", "session bot1/s1")])
    await store.close()


async def test_a_mark_that_is_damaged_while_imbot_serves_counts_as_set(tmp_path):
    store = opened(tmp_path)
    await store.commit([OnceMarked("greet", "s", "run", T0)])
    other = sqlite3.connect(tmp_path / "store.db")
    other.execute("UPDATE once_marks SET at = 'long ago'")
    other.commit()
    other.close()

    assert await store.marked([("greet", "s")]) == {("greet", "s"): T0}
    await store.close()


async def test_a_damaged_session_has_a_gap_and_no_once_rule_acts_in_it(tmp_path):
    store = await damaged(tmp_path, [seen()], "UPDATE sessions SET mine = 1")
    found = await store.recover(T0)

    assert found.sessions == ()
    assert found.marks_lost == {SessionKey("bot1", "s1")}
    await store.close()


async def test_what_an_operator_closed_stays_closed(tmp_path):
    closed = TimerSet("closed office", "closed", T0, payload={"calendar": "office"})

    store = await damaged(tmp_path, [closed], "UPDATE timers SET payload = '{}'")

    (timer,) = (await store.recover(T0)).timers
    assert (timer.id, timer.kind, timer.payload) == (closed.id, "closed", closed.payload)
    await store.close()


async def test_what_else_is_damaged_is_just_missed(tmp_path):
    store = await damaged(
        tmp_path,
        [RuleSeen("v1", "greet", "a.yaml", "source"), AckSeen("bot1", "c", 4)],
        "UPDATE rule_versions SET source = 'other'",
    )

    assert store.condition.quarantined == 1
    await store.close()


async def test_an_index_that_is_wrong_is_built_anew(tmp_path):
    """A run that an index has lost would be neither lost nor done: nobody would ask for it."""
    store = opened(tmp_path)
    await store.commit([EventSeen(event(1)), run(1)])
    await store.close()
    connection = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    connection.execute("PRAGMA writable_schema = ON")
    ((sql,),) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'runs_open'")
    for text in ("CREATE INDEX runs_open ON runs (seq) WHERE 0", sql):
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'runs_open'", [text])
        connection.execute("PRAGMA schema_version = 99")
        if text != sql:
            connection.close()
            connection = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
            connection.execute("REINDEX runs_open")
            connection.execute("PRAGMA writable_schema = ON")
    connection.close()

    store = opened(tmp_path)

    assert [each.run_id for each, _ in (await store.recover(T0)).runs] == ["bot1-1/greet"]
    assert store.condition.quarantined == 0
    await store.close()


async def test_rows_that_only_an_index_knows_of_are_missing(tmp_path):
    """Building the index anew would make it right, and forget who was greeted."""
    store = opened(tmp_path)
    await store.commit([OnceMarked("greet", f"s{n}", "run", T0) for n in range(5)])
    await store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_schema"))
    connection.close()
    content = bytearray((tmp_path / "store.db").read_bytes())
    empty, marks = ((roots[name] - 1) * 4096 for name in ("acks", "once_marks"))
    content[marks : marks + 4096] = content[empty : empty + 4096]
    (tmp_path / "store.db").write_bytes(content)

    with pytest.raises(StoreDamagedError, match="rows of once_marks are missing"):
        opened(tmp_path)


async def test_commits_that_are_missing_are_missed(tmp_path):
    """Without its log a store is an older one, and sound: it would do all since then once more."""
    store = opened(tmp_path)
    await store.close()
    store = opened(tmp_path)
    await store.commit([EventSeen(event(1))])
    shutil.copy(tmp_path / "store.db", tmp_path / "without-log")
    store.abandon()
    shutil.move(tmp_path / "without-log", tmp_path / "store.db")

    with pytest.raises(StoreDamagedError, match="the last 1 commits are missing"):
        opened(tmp_path)

    (tmp_path / "store.db.tip").write_text("rubbish")
    assert (await opened(tmp_path).recover(T0)).events == ()


async def test_a_store_that_was_removed_is_begun_anew(tmp_path):
    """Whoever removes it wants that."""
    store = opened(tmp_path)
    await store.commit([EventSeen(event(1))])
    await store.close()
    (tmp_path / "store.db").unlink()

    store = opened(tmp_path)

    assert (await store.recover(T0)).events == ()
    await store.close()


async def test_tables_that_imbot_did_not_make_are_damage(tmp_path):
    store = opened(tmp_path)
    await store.commit([EventSeen(event(1))])
    await store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("ALTER TABLE runs RENAME COLUMN detail TO detaim")
    connection.close()

    with pytest.raises(StoreDamagedError, match="not those that imbot made"):
        opened(tmp_path)


async def test_a_store_whose_tables_are_gone_is_ours_and_damaged(tmp_path):
    store = opened(tmp_path)
    await store.commit([EventSeen(event(1))])
    await store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("DROP TABLE runs")
    connection.close()

    with pytest.raises(StoreDamagedError, match="restore a backup"):
        opened(tmp_path)


async def test_a_sweep_finds_what_a_start_did_not_look_at(tmp_path, monkeypatch):
    """A start looks at the newest rows only where there are many."""
    store = opened(tmp_path)
    done = [change for n in range(1, 9) for change in (EventSeen(event(n)), run(n, RunState.DONE))]
    handled = [EventHandled(f"bot1-{n}", T0) for n in range(1, 9)]
    await store.commit([*done, *handled, verdict(intent(1), EffectState.ACCEPTED)])
    await store.close()
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("UPDATE events SET kind = 'x' WHERE id = 'bot1-2'")
    connection.commit()
    connection.close()

    with monkeypatch.context() as small:
        small.setattr("imbot.store.checking.NEWEST_ROWS", 3)
        small.setattr("imbot.store.checking.SWEPT_ROWS", 3)
        store = opened(tmp_path)
        assert store.condition.quarantined == 0
        await store.forget(Retention())

    assert store.condition.quarantined == 1
    await store.close()


# A new store in the place of a damaged one -------------------------------------------------------


async def test_fresh_puts_a_damaged_store_aside_and_keeps_it(tmp_path):
    store = opened(tmp_path)
    await store.commit([EventSeen(event(1))])
    await store.close()
    content = (tmp_path / "store.db").read_bytes()
    (tmp_path / "store.db").write_bytes(content[:5000])

    store = opened(tmp_path, on_damage="fresh")
    found = await store.recover(T0)

    assert (found.events, found.lost_since is None) == ((), False)
    (kept,) = tmp_path.glob("store.db.damaged-*")
    assert kept.read_bytes() == content[:5000]
    await store.close()


async def _story(folder):
    """Tell of a session that outlives the store in which its greeting stands."""
    async with staged(folder) as stage:
        imbot = await stage.start(RULES)
        call = stage.ring("3001")
        await stage.seconds(5)
        await imbot.end()
        store = folder / "imbot.db"
        store.write_bytes(store.read_bytes()[:5000])

        refused = ""
        try:
            await stage.start(RULES)
        except StoreDamagedError as error:
            refused = str(error)
        stage.on_damage = "fresh"
        await stage.start(RULES)
        call.say("hello?")
        await stage.seconds(5)
        await stage.imbots[-1].end()
        await stage.start(RULES)
        call.say("still there?")
        await stage.seconds(5)
        with stage.views() as views:
            return refused, call.heard, views.gaps()


def test_in_a_fresh_store_who_lived_before_is_not_greeted_again_and_has_a_gap(tmp_path):
    """The damaged store knew who was greeted; the new one must not think that nobody was."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        refused, heard, gaps = runner.run(_story(tmp_path))

    assert "damaged" in refused
    assert heard == ["Good day 3001", "You said: hello?", "You said: still there?"]
    assert [len(gap.session_ids) for gap in gaps] == [1]


# One imbot on one store --------------------------------------------------------------------------

HOLDER = """
import pathlib, sys, time
from imbot.store.database import open_store
from tests.unit.store_samples import StoppedClock
store = open_store(sys.argv[2], clock=StoppedClock(), base=pathlib.Path(sys.argv[1]))
print("holds", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Hold the store in another process, by the path of a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", HOLDER, str(tmp_path), "sqlite:///link/store.db"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "holds\n"
        yield child
        child.kill()


@pytest.mark.parametrize(
    "url", ["sqlite:///real/store.db", "sqlite:///link/../real/store.db", "sqlite:///second.db"]
)
def test_a_second_imbot_is_refused_by_whatever_path_it_comes(tmp_path, holder, url):
    """Two that act on one ledger do everything twice; by two names SQLite does not even see it."""
    if "second" in url:
        os.link(tmp_path / "real" / "store.db", tmp_path / "second.db")

    with pytest.raises(StoreError, match=rf"process {holder.pid}|another name"):
        open_store(url, clock=StoppedClock(), base=tmp_path)


def test_after_a_kill_the_next_one_is_let_in(tmp_path, holder):
    holder.kill()
    holder.wait()

    store = open_store("sqlite:///real/store.db", clock=StoppedClock(), base=tmp_path)
    store.abandon()
