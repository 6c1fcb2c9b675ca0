"""Runs that wait: on time, once, on the rule that they began with, whatever happens meanwhile."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imbot.engine.watching import Acted, Ended, Logged
from imbot.errors import StoreError
from imbot.model import ConnectionChange, OutcomeKind, Reason
from imbot.records import (
    EventSeen,
    RuleSeen,
    RunSeen,
    RunState,
    SessionSeen,
    TimerGone,
    TimerSet,
)
from imbot.store.database import open_store
from imbot.testing.house import build, rulebook_of
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import START, LoopClock

pytestmark = pytest.mark.looptime


def book(*steps, trigger="{state: Talking}", **keys):
    more = "".join(f"    {key}: {value}\n" for key, value in {"max_age": "9h", **keys}.items())
    lines = "".join(f"      - {step}\n" for step in steps)
    return f"version: 1\nrules:\n  - id: r\n    trigger: {trigger}\n{more}    do:\n{lines}"


def until(seconds):
    """Sleep till so many seconds after the start."""
    return asyncio.sleep(seconds - asyncio.get_running_loop().time())


def timed(house, log=None):
    """Note when each operation is carried out."""
    log = [] if log is None else log
    for gws in house.gws.values():
        gws.on_done = lambda done: log.append((asyncio.get_running_loop().time(), done.given))
    return log


def texts(log):
    return [(round(at, 1), given["text"]) for at, given in log if "text" in given]


def ends(house):
    return [(s.over.state, s.over.detail) for s in house.sights if isinstance(s, Ended)]


def logged(house):
    return [sight.text for sight in house.sights if isinstance(sight, Logged)]


async def killed(house, *, keeping=True):
    """Pull the plug; return what the store kept."""
    if keeping:
        await house.store.commit(())
    house.store.abandon()
    await house.timers.close()
    await house.tasks.cancel()
    return house.store.reopened()


def show(house):
    """Let GWS list the sessions that were there before the crash."""
    rows = house.store.durable if isinstance(house.store, MemoryStore) else ()
    for row in rows:
        if isinstance(row, SessionSeen):
            house.gws[row.agent].shown[row.session.id] = row.session


async def started(rules, store, compile_stored=lambda _seen: None, log=None):
    house = build(rules, store=store)
    show(house)
    if log is not None:
        timed(house, log)
    await house.dispatch.recover(house.book.rules, compile_stored)
    await house.tasks.drain(0.01)
    return house


def versions_of(*texts_):
    """Return what compiles a stored version: here it finds it among these."""
    rules = {rule.version: rule for text in texts_ for rule in rulebook_of(text).rules}
    return lambda seen: rules.get(seen.version)


def note_versions(house):
    house.store.note([RuleSeen(r.version, r.id, "r.yaml", r.source) for r in house.book.rules])


HOUR = book("{reply: before}", "{wait: 1h}", "{reply: after}")


@pytest.mark.parametrize("restart", [False, True])
async def test_each_on_error_sees_the_error_of_its_own_step(restart):
    """What goes wrong in another branch meanwhile is another story."""
    fails = "{http: {get: 'http://x.test'}, on_error: [{wait: WAIT}, {log: '{{ error.step }}'}]}"
    nested = fails.replace("{wait: WAIT}", "{wait: 3m}, " + fails.replace("WAIT", "1m"))
    branches = f"[[{fails}], [{{wait: 30s}}, {fails}], [{nested}]]".replace("WAIT", "1m")
    rules = book(f"{{parallel: {branches}}}", on_error="[{log: none}]")
    house = build(rules)
    await house.state("Talking")
    await until(45)
    if restart:
        house = await started(rules, await killed(house))
    await until(300)

    nested_at = "do/0/parallel/2/0"
    assert logged(house) == [
        "do/0/parallel/0/0",
        "do/0/parallel/1/1",
        f"{nested_at}/on_error/1",
        nested_at,
    ]


async def test_a_run_that_waits_holds_no_task_and_goes_on_when_it_is_due():
    """A thousand runs that wait must cost rows, not tasks."""
    house = build(HOUR)
    log = timed(house)
    await house.state("Talking")

    assert len(house.dispatch._flow.runs) == 1
    assert house.dispatch.is_idle
    assert await house.tasks.drain(0)
    await until(3599)
    assert texts(log) == [(0, "before")]
    await until(3601)
    await house.settle()

    assert texts(log) == [(0, "before"), (3600, "after")]
    assert ends(house) == [(RunState.DONE, "")]
    assert len(house.timers) == len(house.dispatch._flow.runs) == 0


async def test_the_wait_and_its_timer_are_one_transaction():
    """Neither is found without the other."""
    house = build(HOUR)
    await house.state("Talking")
    await house.store.commit(())

    kinds = [c for c in house.store.durable if isinstance(c, RunSeen | TimerSet)]
    run, timer = kinds[-2:]
    assert run.state is RunState.WAITING
    assert run.due_at == timer.due_at == START + timedelta(hours=1)
    assert timer.id == f"{run.run_id}/1"
    assert (timer.kind, timer.agent, timer.session_id) == ("run", "bot1", "s1")
    await until(3601)
    await house.store.commit(())
    gone = [c for c in house.store.durable if isinstance(c, TimerGone)]
    assert gone == [TimerGone(timer.id)]


@pytest.mark.parametrize("lost", [True, False], ids=["before the rows", "after the rows"])
@pytest.mark.parametrize("down_s", [0, 30, 1800, 7200])
async def test_an_hours_wait_ends_on_time_whatever_a_crash_takes(lost, down_s):
    """Killed right before or right after the wait is written; it counts from when it began."""
    rules = book("{set: {before: 'x'}}", "{wait: 1h}", "{reply: after}")
    house = build(rules)
    await house.state("Talking")

    store = await killed(house, keeping=not lost)
    assert any(isinstance(change, TimerSet) for change in store.durable) is not lost
    await asyncio.sleep(down_s)
    again = await started(rules, store, log=(log := []))
    await until(down_s + 9000)

    assert texts(log)[-1:] == [(max(3600, down_s), "after")]
    assert [given for _, given in log[:-1]] == ([{"before": "x"}] if lost else [])
    assert ends(again) == [(RunState.DONE, "")]


async def test_a_thousand_waits_that_came_due_during_a_downtime_all_end_and_do_not_storm():
    """Nobody is forgotten, and GWS gets fifty a second."""
    house = build(HOUR)
    for number in range(1000):
        await house.state("Talking", f"s{number}")
    store = await killed(house)
    await until(7200)
    house = await started(HOUR, store, log=(log := []))
    await asyncio.sleep(60)

    sessions = [done.session_id for done in house.gws["bot1"].done]
    assert sorted(sessions) == sorted(f"s{number}" for number in range(1000))
    ats = [at for at, _ in log]
    assert all(later - ats[at] > 0.9 for at, later in enumerate(ats[50:]))
    assert len(house.flow.runs) == len(house.timers) == 0


async def test_a_wait_that_is_due_during_a_crash_fires_once():
    """Killed after it was fired, before its row is written: fired again; after that: not."""
    for lost in (True, False):
        house = build(HOUR.replace("reply", "log"))
        await house.state("Talking")
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(3600.01)
        assert logged(house) == ["before", "after"]
        again = await started(house.book, await killed(house, keeping=not lost))
        await again.settle()
        assert logged(again) == (["after"] if lost else [])
        await again.state("Completed")
        assert asyncio.get_running_loop().time() - now < 3700


NEWER = HOUR.replace("after", "newer")


async def test_a_wait_ends_on_the_version_that_it_began_with_after_a_restart():
    """The file was changed meanwhile; the run is not a new one."""
    house = build(HOUR)
    note_versions(house)
    await house.state("Talking")

    again = await started(NEWER, await killed(house), versions_of(HOUR, NEWER))
    log = timed(again)
    await until(3700)
    await again.state("Completed")

    assert texts(log) == [(3600, "after")]


async def test_a_wait_ends_on_the_version_that_it_began_with_after_a_reload_and_a_restart():
    """A reload changes what begins, not what goes on."""
    from imbot.rulebook.index import Index

    house = build(HOUR)
    note_versions(house)
    await house.state("Talking", "s1")
    house.flow.index = Index(rulebook_of(NEWER).rules)
    await until(1800)
    await house.state("Talking", "s2")
    note_versions(build(NEWER, store=house.store))
    again = await started(NEWER, await killed(house), versions_of(HOUR))
    log = timed(again)
    await until(9000)

    assert texts(log) == [(3600, "after"), (5400, "newer")]


async def test_a_run_whose_version_cannot_be_had_is_cancelled_with_its_timer():
    """It must not go on with other steps."""
    house = build(HOUR)
    note_versions(house)
    await house.state("Talking")

    again = await started(NEWER, await killed(house))
    await until(3700)
    found = await again.store.recover(again.clock.now())

    assert again.said() == []
    assert (found.runs, found.timers) == ((), ())


# Waiting for something -------------------------------------------------------------------------

ASK = book(
    "{reply: Name?}",
    "{wait_for: {message: any}, timeout: 5m, as: answer}",
    "{reply: \"{{ 'late' if answer.timed_out else answer.message.text }}\"}",
)
# Conditional expressions stand in templates as in conditions.


async def test_an_answer_lets_the_run_go_on():
    house = build(ASK)
    await house.state("Talking")
    await house.say("Ada")

    assert house.said() == ["Name?", "Ada"]
    assert len(house.timers) == 0


async def test_no_answer_is_an_answer_too():
    house = build(ASK)
    log = timed(house)
    await house.state("Talking")
    await until(400)

    assert texts(log) == [(0, "Name?"), (300, "late")]


async def test_nothing_is_consumed_and_the_message_of_the_run_stays():
    """Rules see the event too; the run of the answer is decided before the answer is acted on."""
    rules = ASK + '  - {id: echo, trigger: {message: any}, do: [{reply: "{{ message.text }}!"}]}\n'
    house = build(rules)
    await house.state("Talking")
    await house.say("Ada")

    assert house.said() == ["Name?", "Ada", "Ada!"]


async def test_only_what_is_waited_for_counts():
    """Another text, another session, another agent: none of them is the answer."""
    rules = book(
        "{wait_for: {message: {contains: yes}}, as: a}", "{reply: 'ok {{ a.message.text }}'}"
    )
    house = build(rules, agents=("bot1", "bot2"))
    await house.state("Talking")
    await house.state("Talking", "s2")
    await house.state("Talking", "s1", agent="bot2")
    await house.say("no")
    await house.say("oh YES", "s2")

    assert house.said() == ["ok oh YES"]
    assert house.said("bot2") == []


async def test_user_data_and_states_can_be_waited_for():
    house = build(
        book(
            "{wait_for: {state: Talking}, as: a}",
            "{wait_for: {userdata: [vip]}, as: b}",
            "{log: '{{ a.event.previous }} {{ b.event.changed.vip.new }}'}",
            trigger="{state: Alerting}",
        )
    )
    await house.state("Alerting")
    await house.state("Talking")
    await house.state("Talking", notification_type="AttachedDataChanged", vip="yes")

    assert logged(house) == ["Alerting yes"]


async def test_runs_that_wait_are_rows_of_the_database_too(tmp_path):
    """Branches, an answer, a message and a version: all of it out of the file."""
    rules = book(
        "{parallel: [[{wait: 1h}, {reply: a}], [{wait_for: {message: any}, as: x},"
        " {wait: '{{ \"2h\" }}'}, {reply: '{{ x.message.text }}'}]]}",
        "{reply: b}",
    )

    def opened():
        return open_store("sqlite:///w.db", clock=LoopClock(), base=tmp_path, executor="inline")

    house = build(rules, store=opened())
    note_versions(house)
    await house.state("Talking")
    await until(1800)
    await house.say("Ada")
    await house.store.commit(())
    house.store.abandon()
    await house.timers.close()
    log = []
    again = await started(NEWER, opened(), versions_of(rules), log)
    await until(9100)

    assert texts(log) == [(3600, "a"), (9000, "Ada"), (9000, "b")]
    await again.store.close()


@pytest.mark.parametrize("lost", [True, False])
async def test_one_answer_is_not_taken_for_two(lost):
    """Killed between the answer and what it leads to: the next question has no answer yet."""
    twice = book(
        "{wait_for: {message: any}, as: a}",
        "{wait_for: {message: any}, as: b}",
        "{log: '{{ a.message.text }}{{ b.message.text }}'}",
    )
    house = build(twice)
    await house.state("Talking")
    await house.say("1")

    again = await started(twice, await killed(house, keeping=not lost))
    await again.settle()
    assert logged(again) == []
    await again.say("2")

    assert logged(again) == ["12"]


async def test_waiting_for_a_session_that_is_not_there_waits_for_nothing():
    house = build(
        book("{wait_for: {message: any}, as: a}", "{log: on}", trigger="{connection: lost}")
    )

    await house.connection(ConnectionChange.LOST)

    assert logged(house) == ["on"]


# Completion ------------------------------------------------------------------------------------


async def test_completion_ends_a_wait_but_for_what_is_due_all_the_same():
    """A CRM still wants to know; what was never bound is missing."""
    house = build(
        book(
            "{wait_for: {message: any}, as: answer}",
            "{reply: never}",
            "{let: {heard: \"'{{ answer.message.text }}'\", name: answer.timed_out}}",
            "{wait: 1h}",
            "{wait: 5m, even_if_completed: true}",
            "{http: {get: 'http://x.test'}, even_if_completed: true, on_error: [{log: tried}]}",
        )
    )
    await house.state("Talking")
    await house.state("Completed")
    assert ends(house) == []
    await until(299)
    assert [s for s in house.sights if isinstance(s, Acted)] == []
    await until(301)
    await house.settle()

    kinds = [(s.step.action, s.outcome.kind) for s in house.sights if isinstance(s, Acted)]
    assert kinds == [("http", OutcomeKind.FAILED)]
    assert ends(house) == [(RunState.CANCELLED, "session s1 completed")]


async def test_a_cancelled_run_stays_cancelled_after_a_restart():
    rules = book("{wait: 1h}", "{reply: never}", "{wait: 5m, even_if_completed: true}", "{log: x}")
    house = build(rules)
    await house.state("Talking")
    await house.state("Completed")

    again = await started(rules, await killed(house))
    await until(400)

    assert logged(again) == []
    assert ends(again) == [(RunState.CANCELLED, "session s1 completed")]


async def test_a_run_that_completion_began_may_wait():
    house = build(book("{wait: 1m}", "{log: later}", trigger="{state: Completed}"))
    await house.state("Talking")
    await house.state("Completed")
    await until(61)

    assert logged(house) == ["later"]


async def test_a_run_does_not_wait_after_its_own_complete():
    house = build(book("{complete: done}", "{wait: 1h}", "{log: never}"))
    await house.state("Talking")

    assert ends(house) == [(RunState.CANCELLED, "session s1 completed")]


# Branches --------------------------------------------------------------------------------------


async def test_branches_go_on_side_by_side_and_join():
    house = build(
        book(
            "{parallel: [[{wait: 10s}, {reply: a}, {let: {x: '1'}}],"
            " [{reply: b}, {wait: 5s}, {reply: c}], [{reply: d}]]}",
            "{reply: 'end {{ x }}'}",
        )
    )
    log = timed(house)
    await house.state("Talking")
    await until(20)

    assert texts(log) == [(0, "b"), (0, "d"), (5, "c"), (10, "a"), (10, "end 1")]
    assert ends(house) == [(RunState.DONE, "")]


async def test_a_branch_that_does_not_come_back_holds_up_the_next_for_200_ms():
    class Slow:
        async def send(self, _request):
            await asyncio.sleep(3)
            raise StopAsyncIteration

        async def close(self):
            pass

    slow = "{http: {get: 'http://x.test'}, on_error: [{log: failed}]}"
    house = build(
        book("{parallel: [[" + slow + "], [{wait: 1s}, {reply: a}], [{reply: b}]]}", "{reply: c}"),
        http=Slow(),
    )
    log = timed(house)
    await house.state("Talking", settle=False)
    await until(5)

    assert texts(log) == [(0.2, "b"), (1.2, "a"), (3, "c")]


async def test_a_failure_in_a_branch_ends_every_branch():
    """The rule's ``on_error`` begins when all are back; what waited is cancelled."""
    house = build(
        book(
            "{parallel: [[{wait: 10s}, {reply: a}], [{wait_for: {message: any}}, {reply: b}],"
            " [{wait: 5s}, {log: '{{ session.userData.none }}'}]]}",
            on_error="[{reply: sorry}, {wait: 1m}, {reply: still}]",
        )
    )
    log = timed(house)
    await house.state("Talking")
    await until(6)
    assert len(house.timers) == 1
    await house.say("x")
    await until(100)

    assert texts(log) == [(5, "sorry"), (65, "still")]
    assert ends(house)[0][0] is RunState.FAILED


async def test_stop_in_a_branch_ends_the_run():
    house = build(book("{parallel: [[{wait: 10s}, {reply: a}], [{stop: enough}]]}", "{reply: b}"))
    await house.state("Talking")
    await until(20)

    assert house.said() == []
    assert ends(house) == [(RunState.STOPPED, "enough")]
    assert len(house.timers) == 0


async def test_branches_in_branches():
    house = build(
        book(
            "{parallel: [[{parallel: [[{wait: 3s}, {reply: a}], [{wait: 1s}, {reply: b}]]},"
            " {reply: c}], [{wait: 2s}, {reply: d}]]}",
            "{reply: e}",
        )
    )
    log = timed(house)
    await house.state("Talking")
    await until(9)

    assert texts(log) == [(1, "b"), (2, "d"), (3, "a"), (3, "c"), (3, "e")]


async def test_a_block_has_names_of_its_own():
    rules = """
version: 1
blocks:
  greet:
    inputs: {who: text}
    do:
      - let: {x: who}
      - wait: 1m
      - reply: "{{ x }}"
rules:
  - id: r
    trigger: {state: Talking}
    do:
      - let: {x: "'mine'"}
      - call: {block: greet, with: {who: "{{ x }} yours"}}
      - reply: "{{ x }}"
"""
    house = build(rules)
    await house.state("Talking")
    again = await started(rules, await killed(house))
    await until(61)

    assert again.said() == ["mine yours", "mine"]


# Policies --------------------------------------------------------------------------------------


async def test_restart_ends_the_older_run_and_begins_anew():
    house = build(
        book(
            "{wait: 10s}", "{reply: '{{ message.text }}'}", trigger="{message: any}", mode="restart"
        )
    )
    log = timed(house)
    await house.state("Talking")
    for at, text in ((0, "a"), (5, "b"), (12, "c")):
        await until(at)
        await house.say(text)
    await until(30)

    assert texts(log) == [(22, "c")]
    states = [state for state, _ in ends(house)]
    assert states == [RunState.CANCELLED, RunState.CANCELLED, RunState.DONE]
    assert len(house.timers) == 0


async def test_restart_lets_a_step_that_is_on_its_way_end():
    """An effect is never cut in half; what comes after it is not done."""
    house = build(
        book(
            "{reply: '{{ message.text }}'}", "{reply: x}", trigger="{message: any}", mode="restart"
        )
    )
    await house.state("Talking")
    gws, original = house.gws["bot1"], house.gws["bot1"].send_message

    class Slow:
        facts, is_up, hearing, until_sound = gws.facts, True, None, gws.until_sound

        async def send_message(self, *args, **more):
            await asyncio.sleep(2)
            await original(*args, **more)

    house.gws["bot1"] = Slow()
    object.__setattr__(house.dispatch._world, "agents", house.gws)
    lane = house.dispatch._flow
    from imbot.model import MessageNotice, SessionKey

    await house.hear(MessageNotice("s1", "a", house.clock.now()))
    await asyncio.sleep(0.5)
    (older,) = lane.runs._runs.values()
    newer = older.start.event
    lane.runs._cancel(older, f"restarted by {newer.id}")
    await house.settle()

    assert [done.given["text"] for done in gws.done] == ["a"]
    assert ends(house)[0][0] is RunState.CANCELLED
    assert house.table.get(SessionKey("bot1", "s1")) is not None


async def test_parallel_runs_go_side_by_side_up_to_their_number():
    house = build(
        book(
            "{wait: 10s}",
            "{reply: '{{ message.text }}'}",
            trigger="{message: any}",
            mode="parallel",
            max="2",
        )
    )
    await house.state("Talking")
    for text in "abc":
        await house.say(text)
    await until(20)

    assert house.said() == ["a", "b"]
    (no,) = house.suppressed()
    assert no.reason is Reason.MODE
    assert "max 2" in no.detail


async def test_a_queue_keeps_its_turn_while_it_waits():
    """Also after a restart, and without a task for each that stands in it."""
    rules = book(
        "{wait: 10s}", "{reply: '{{ message.text }}'}", trigger="{message: any}", mode="queue"
    )
    house = build(rules)
    await house.state("Talking")
    for text in "abc":
        await house.say(text)
    assert await house.tasks.drain(0)
    await until(5)
    again = await started(rules, await killed(house))
    log = timed(again)
    await until(60)

    assert texts(log) == [(10, "a"), (20, "b"), (30, "c")]


async def test_single_suppresses_while_a_run_waits():
    house = build(book("{wait: 10s}", "{reply: x}", trigger="{message: any}"))
    await house.state("Talking")
    await house.say("a")
    await house.say("b")

    assert [no.reason for no in house.suppressed()] == [Reason.MODE]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_throttled_rule_runs_once_within_its_time(restart):
    rules = book(
        "{reply: '{{ message.text }}!'}",
        trigger="{message: any}",
        throttle="{once_within: 30s, by: message.text}",
    )
    house = build(rules)
    await house.state("Talking")
    await house.say("a")
    await until(20)
    said = house.said()
    if restart:
        house = await started(rules, await killed(house))
    await house.say("a")
    await house.say("b")
    (no,) = house.suppressed()
    assert no.reason is Reason.THROTTLE
    assert no.detail == "it ran 20s ago, once within 30s for value a"
    await until(30)
    await house.say("a")

    assert (said if restart else []) + house.said() == ["a!", "b!", "a!"]


class PutBack(LoopClock):
    """A clock that somebody puts back while it runs."""

    by = timedelta()

    def now(self):
        return super().now() - self.by


@pytest.mark.parametrize(("by_s", "said"), [(5, 1), (86_400, 2)])
async def test_a_clock_that_is_put_back_does_not_throttle_for_ever(by_s, said):
    """A rule that ran while the clock was a day fast must not be silent for a day."""
    rules = book("{reply: x}", trigger="{message: any}", throttle="{once_within: 30s}")
    house = build(rules, clock=(clock := PutBack()))
    await house.state("Talking")
    await house.say("a")
    clock.by = timedelta(seconds=by_s)
    await house.say("a")

    assert len(house.said()) == said
    details = [no.detail.partition(",")[0] for no in house.suppressed()]
    assert details == ["it ran 5s ago"][said - 1 :]


async def test_a_budget_limits_the_effects_of_a_rule():
    """Within a run they are withheld, then the rule does not run; other rules go on."""
    house = build(
        book("{reply: a}", "{reply: b}", trigger="{message: any}", budget="{per_session: 3}")
    )
    await house.state("Talking")
    for _ in range(3):
        await house.say("x")

    assert house.said() == ["a", "b", "a"]
    held = [outcome for outcome in house.outcomes() if outcome.kind is OutcomeKind.WITHHELD]
    told = "3 effects in this session, the rule's budget is 3"
    assert [outcome.detail for outcome in held] == [told]
    assert [no.reason for no in house.suppressed()] == [Reason.BUDGET]


async def test_a_budget_of_a_session_holds_over_a_restart():
    rules = book("{reply: a}", trigger="{message: any}", budget="{per_session: 2}")
    house = build(rules)
    await house.state("Talking")
    await house.say("x")
    again = await started(rules, await killed(house))
    await again.say("y")
    await again.say("z")

    assert again.said() == ["a"]
    assert [no.reason for no in again.suppressed()] == [Reason.BUDGET]


async def test_a_budget_of_a_minute_comes_back():
    house = build(book("{reply: a}", trigger="{message: any}", budget="{per_minute: 1}"))
    await house.state("Talking")
    await house.say("x")
    await house.say("y")
    await until(61)
    await house.say("z")

    assert house.said() == ["a", "a"]
    assert "within a minute" in house.suppressed()[0].detail


# Any program, any crash ------------------------------------------------------------------------

_leaves = st.sampled_from(["set", "wait 1s", "wait 7s", "for 3s", "for", "let"])
_steps = st.recursive(
    st.lists(_leaves, min_size=1, max_size=3),
    lambda inner: st.lists(
        _leaves | st.lists(inner, min_size=1, max_size=3).map(lambda branches: [*branches]),
        min_size=1,
        max_size=3,
    ),
    max_leaves=8,
)


def yaml_of(steps, numbers):
    """Return steps as YAML flow; every effect has a key of its own."""
    return "[" + ", ".join(_step_of(step, numbers) for step in steps) + "]"


def _step_of(step, numbers):
    if isinstance(step, list):
        branches = [each if isinstance(each, list) else [each] for each in step]
        return "{parallel: [" + ", ".join(yaml_of(each, numbers) for each in branches) + "]}"
    n = next(numbers)
    word, _, more = step.partition(" ")
    return {
        "set": f"{{set: {{k{n}: '{n}'}}}}",
        "wait": f"{{wait: {more}}}",
        "let": f"{{let: {{n{n}: '{n}'}}}}",
        "for": f"{{wait_for: {{message: any}}, as: a{n}{f', timeout: {more}' if more else ''}}}",
    }[word]


class Dying(MemoryStore):
    """Dies with its n-th call, before or after that is durable."""

    def __init__(self, durable=(), *, at=0, kept=False):
        super().__init__(durable)
        self.calls, self.at, self.kept = 0, at, kept

    def _call(self, flush):
        self.calls += 1
        if self.calls == self.at:
            if self.kept:
                self._flush()
            self.abandon()
            raise StoreError("killed")
        return flush

    def note(self, changes):
        super().note(changes)
        self._call(flush=False)

    async def commit(self, changes):
        if changes:
            if self.broken:
                raise StoreError(self.broken)
            self._noted.extend(changes)
        self._call(flush=True)
        await super().commit(())


async def _lived(rules, *, at, kept):
    """Return what was done and when, first times only, with at most one crash on the way."""
    done = {}
    store = Dying(at=at, kept=kept)
    begun_at = asyncio.get_running_loop().time()
    now = lambda: round(asyncio.get_running_loop().time() - begun_at, 2)  # noqa: E731  short

    def watched(store):
        house = build(rules, store=store)
        note = lambda op: [done.setdefault(key, now()) for key in op.given]  # noqa: E731  short
        house.gws["bot1"].on_done = note
        return house

    async def settled(house):
        await house.tasks.drain(0.01)
        if not house.store.broken:
            return house
        await house.timers.close()
        await house.tasks.cancel()
        return await settled(await reborn(house))

    async def reborn(house):
        again = watched(MemoryStore(house.store.durable))
        show(again)
        await again.dispatch.recover(again.book.rules)
        return again

    house = watched(store)
    for second, text in ((0, ""), (2, "x"), (5, "y"), (6, "z"), (11, "w"), (40, None)):
        while now() < second:
            await asyncio.sleep(0.5)
            house = await settled(house)
        while text is not None:
            try:
                await (house.state("Talking", settle=False) if not text else _heard(house, text))
            except StoreError:
                house = await settled(house)
                if not _kept(house, text):
                    continue
            house = await settled(house)
            break
    runs = [c for c in house.store.durable if isinstance(c, RunSeen)]
    calls = store.calls
    await house.timers.close()
    await house.tasks.cancel()
    return done, runs[-1].state if runs else None, calls


async def _heard(house, text):
    from imbot.model import MessageNotice

    await house.hear(MessageNotice("s1", text, house.clock.now()))


def _kept(house, text):
    """Whether the event is in the store; else GWS delivers it again."""
    events = [c.event for c in house.store.durable if isinstance(c, EventSeen)]
    return any(event.fields.get("text", "") == text for event in events)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=_steps, data=st.data())
async def test_any_program_of_strands_with_a_crash_does_what_it_does_without(steps, data):
    """Each effect at the same moment, and the same end."""
    from itertools import count

    rules = rulebook_of(
        "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n"
        f"    do: {yaml_of(steps, count(1))}\n"
    )
    done, state, calls = await _lived(rules, at=0, kept=False)
    at = data.draw(st.integers(1, calls))
    kept = data.draw(st.booleans())

    with capture_logs():
        crashed = await _lived(rules, at=at, kept=kept)

    assert crashed[:2] == (done, state)
