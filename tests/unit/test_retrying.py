"""Steps that are tried again much later: on time, as often as said, whatever happens meanwhile."""

import asyncio

import pytest

from imbot.engine.watching import Acted, Ended
from imbot.errors import TemporaryError
from imbot.model import OutcomeKind
from imbot.ports import Reply
from imbot.records import EffectState, RunSeen, RunState, TimerSet, Verdict
from imbot.store.database import open_store
from imbot.testing.house import build, rulebook_of
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime

#: Minutes between the attempts: the chance of tests spreads 60 s to 45 s.
PUT = 'http: {put: "http://crm.test/x", json: {a: 1}}'
RULE = f"""
version: 1
rules:
  - id: r
    trigger: {{state: Talking}}
    once: session
    do:
      - {PUT}
        retry: {{times: 4, backoff: 1m..1m}}
        as: answer
      - reply: "{{{{ answer.status }}}}"
"""


class Flaky:
    """A server that refuses so often; it remembers when it was asked."""

    def __init__(self, refusals=99):
        self.refusals = refusals
        self.asked = []

    async def send(self, _request):
        self.asked.append(round(asyncio.get_running_loop().time(), 1))
        if len(self.asked) <= self.refusals:
            raise TemporaryError("busy")
        return Reply(200, {}, b"{}")

    async def close(self):
        pass


def ends(house):
    return [(s.over.state, s.over.detail) for s in house.sights if isinstance(s, Ended)]


def kinds(house):
    return [(s.outcome.kind, s.outcome.attempts) for s in house.sights if isinstance(s, Acted)]


async def killed(house):
    """Pull the plug; return what the store kept."""
    await house.store.commit(())
    house.store.abandon()
    await house.timers.close()
    await house.tasks.cancel()
    return house.store.reopened()


def parked(house):
    return [
        change.detail
        for change in house.store.durable
        if isinstance(change, Verdict) and change.state is EffectState.PARKED
    ]


async def test_a_long_pause_holds_no_task_and_is_a_row_like_a_wait():
    """A server that is away for an hour must not cost a task for each run."""
    house = build(RULE, http=(http := Flaky(2)))
    await house.state("Talking")
    await house.store.commit(())

    assert await house.tasks.drain(0)
    run = [change for change in house.store.durable if isinstance(change, RunSeen)][-1]
    timer = next(change for change in house.store.durable if isinstance(change, TimerSet))
    assert (run.state, run.due_at, run.strands[0].attempts) == (RunState.WAITING, timer.due_at, 1)
    await asyncio.sleep(300)
    await house.settle()

    assert http.asked == [0, 45, 90]
    assert house.said() == ["200"]
    assert kinds(house)[0] == (OutcomeKind.DONE, 3)
    assert len(house.timers) == 0


async def test_a_short_pause_is_spent_in_place():
    """What follows within seconds keeps its place before what others say."""
    house = build(RULE.replace("1m..1m", "2s..2s"), http=(http := Flaky(2)))
    await house.state("Talking")

    assert http.asked == [0, 1.5, 3]
    assert not [c for c in house.store.durable if isinstance(c, TimerSet)]


@pytest.mark.parametrize("down_s", [1, 30, 600])
@pytest.mark.parametrize("kills", [1, 2, 3])
async def test_killed_in_its_pauses_it_is_tried_as_often_as_said(down_s, kills):
    """A restart is no reason to begin counting anew, nor to forget it."""
    http, store = Flaky(), MemoryStore()
    for _ in range(kills):
        house = build(RULE, http=http, store=store)
        await house.start()
        if not http.asked:
            await house.state("Talking")
        await house.tasks.drain(1)
        store = await killed(house)
        await asyncio.sleep(down_s)
    house = build(RULE, http=http, store=store)
    await house.start()
    await asyncio.sleep(600)

    assert len(http.asked) == 4
    assert ends(house) == [(RunState.FAILED, "do/0: busy")]
    assert parked(house) == ["busy"]
    pauses = [later - earlier for earlier, later in zip(http.asked, http.asked[1:], strict=False)]
    assert all(pause >= 45 for pause in pauses)


async def test_killed_during_an_attempt_its_count_is_kept():
    house = build(RULE, http=(http := Flaky()))
    await house.state("Talking")
    await asyncio.sleep(45.01)
    assert len(http.asked) == 2
    hanging = Flaky(0)
    hanging.send = lambda _request: asyncio.sleep(3600)
    house = build(RULE, http=hanging, store=await killed(house))
    await house.start()
    await asyncio.sleep(46)
    again = build(RULE, http=http, store=await killed(house))
    await again.start()
    await asyncio.sleep(300)

    assert len(http.asked) == 4, "the third attempt is made again, and then the fourth"


async def test_nothing_is_tried_again_after_the_session_is_over():
    """What is given up waits for a person, and the session's once mark is free again."""
    house = build(RULE, http=(http := Flaky()))
    await house.state("Talking")
    await house.state("Completed")
    await asyncio.sleep(300)

    assert len(http.asked) == 1
    assert ends(house) == [(RunState.CANCELLED, "session s1 completed")]
    assert parked(house) == ["session s1 completed"]
    assert len(house.timers) == 0


async def test_even_if_completed_it_is_tried_again():
    rule = RULE.replace("as: answer", "even_if_completed: true").replace("{{ answer.status }}", "x")
    house = build(rule, http=(http := Flaky(1)))
    await house.state("Talking")
    await house.state("Completed")
    await asyncio.sleep(300)

    assert len(http.asked) == 2
    assert parked(house) == []


async def test_a_run_that_is_restarted_parks_what_it_would_have_tried_again():
    rule = RULE.replace("once: session", "mode: restart").replace("state: Talking", "message: any")
    house = build(rule, http=(http := Flaky(1)))
    await house.state("Talking")
    await house.say("one")
    await house.say("two")
    await asyncio.sleep(300)

    assert len(http.asked) == 2
    assert parked(house) == ["restarted by bot1:3"]
    assert [state for state, _ in ends(house)] == [RunState.CANCELLED, RunState.DONE]


BRANCHES = f"""
version: 1
rules:
  - id: r
    trigger: {{state: Talking}}
    do:
      - parallel:
          - - {PUT}
              retry: {{times: 3, backoff: 1m..1m}}
          - [{{wait: 70s}}, {{set: {{second: "yes"}}}}]
          - [{{wait: 10s}}, LAST]
      - set: {{over: "yes"}}
"""


async def test_other_branches_go_on_meanwhile():
    book = BRANCHES.replace("LAST", "{log: here}")
    house = build(book, http=(http := Flaky(1)))
    await house.state("Talking")
    await asyncio.sleep(50)
    house = build(book, http=http, store=await killed(house))
    await house.start()
    await asyncio.sleep(300)

    assert http.asked == [0, 45]
    assert [done.given for done in house.gws["bot1"].done] == [{"second": "yes"}, {"over": "yes"}]


async def test_a_branch_that_ends_the_run_ends_the_attempts():
    book = BRANCHES.replace("LAST", "{stop: enough}")
    house = build(book, http=(http := Flaky()))
    await house.state("Talking")
    await asyncio.sleep(300)

    assert http.asked == [0]
    assert ends(house) == [(RunState.STOPPED, "enough")]
    assert parked(house) == ["enough"]
    assert len(house.timers) == 0


async def test_a_branch_that_fails_ends_the_attempts():
    """The rule's on_error is all that is left of the run."""
    on_error = '    on_error: [{set: {failed: "{{ error.step }}"}}]\n'
    book = BRANCHES.replace("LAST", "{set: {a: '{{ vars.none }}'}}") + on_error
    book = book.replace("vars.none", "session.userData.none")
    house = build(book, http=(http := Flaky()))
    await house.state("Talking")
    await asyncio.sleep(300)

    assert http.asked == [0]
    assert len(parked(house)) == 1
    assert len(house.timers) == 0
    assert [done.given for done in house.gws["bot1"].done] == [{"failed": "do/0/parallel/2/1"}]


async def test_what_can_no_more_be_filled_in_is_given_up():
    """A template that had its value at first, and has it no more."""
    rule = RULE.replace("a: 1", "a: '{{ session.userData.x }}'")
    house = build(rule, http=(http := Flaky()))
    await house.state("Talking", x="1")
    await house.state("Talking", notification_type="AttachedDataChanged")
    await asyncio.sleep(100)

    assert len(http.asked) == 1
    assert ends(house)[0][0] is RunState.FAILED
    assert len(parked(house)) == 1


async def test_an_old_event_is_no_reason_not_to_try_again():
    """max_age is about beginning; a reply that is refused for minutes was begun in time."""
    rule = """
version: 1
rules:
  - id: r
    trigger: {state: Talking}
    max_age: 60s
    do:
      - reply: hello
        retry: {times: 4, backoff: 1m..1m}
"""
    house = build(rule)
    house.gws["bot1"].failures.extend([TemporaryError("busy"), TemporaryError("busy")])
    await house.state("Talking")
    await asyncio.sleep(60)
    store = await killed(house)
    house = build(rule, store=store)
    house.gws["bot1"].failures.append(TemporaryError("busy"))
    await house.start()
    await asyncio.sleep(300)

    assert ends(house) == [(RunState.DONE, "")]
    assert kinds(house) == [(OutcomeKind.DONE, 4)]


async def test_the_real_store_keeps_the_count(tmp_path):
    clock = LoopClock()

    def store():
        return open_store("sqlite:///s.db", clock=clock, base=tmp_path, executor="inline")

    http, book = Flaky(), rulebook_of(BRANCHES.replace("LAST", "{log: here}"))
    kept = store()
    house = build(book, http=http, store=kept, clock=clock)
    await house.start()
    await house.state("Talking")
    await kept.commit(())
    await house.stop()
    await kept.close()
    kept = store()
    house = build(book, http=http, store=kept, clock=clock)
    await house.start()
    await asyncio.sleep(300)

    assert len(http.asked) == 3
    assert kinds(house)[-1] == (OutcomeKind.PARKED, 3)
    await house.stop()
    await kept.close()
