"""Killed at every moment of a story: what rules do is the same, at the same times."""

import asyncio
from collections import defaultdict
from functools import cache

import pytest

from imbot.loading import installed
from imbot.model import MessageNotice
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.ports import Reply
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import build, rulebook_of
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock
from imbot.testing.virtual_loop import VirtualLoop
from tests.flow.stage import MONDAY_NOON

USABLE = installed(find_plugins(PluginSettings(options={"crm": {"url": "http://crm.test"}})))

#: A put to this address tells which event it came of.
PUT = "http: {put: 'http://x.test/%s/{{ event.at | localtime(''UTC'', format=''%%M-%%S'') }}'}"
RINGS, LONG_AFTER = (0, "state", "Talking"), (120, "", "")


def rules(*each):
    """Return a rule file of these rules: the keys of each, and its steps."""
    lines = [
        f"  - {{id: r{number}, {keys}, do: [{{{'}, {'.join(steps)}}}]}}\n"
        for number, (keys, *steps) in enumerate(each)
    ]
    return "version: 1\nrules:\n" + "".join(lines)


#: The rules, and what happens: when, what, and of what.
STORIES = {
    "everywhere": (
        """
version: 1
blocks:
  pause: {inputs: {n: text}, do: [{wait: 7s}, {set: {inner: "{{ n }}"}}, {wait: 3s}]}
rules:
  - id: r
    trigger: {state: Talking}
    do:
      - call: {block: pause, with: {n: x}}
      - parallel:
          - - wait_for: {message: any}
              timeout: 20s
              as: told
            - set: {told: "{{ told.timed_out }}"}
          - [{wait: 5s}, {set: {one: "1"}}, {wait: 30s}, {set: {two: "1"}}]
          - - set: {x: "{{ session.userData.none }}"}
              on_error: [{wait: 10s}, {set: {error: "{{ error.kind }}"}}]
      - set: {last: "1"}
""",
        [RINGS, (7, "", ""), (10, "", ""), (15, "", ""), (25, "say", "hi"), (45, "", "")],
    ),
    "throttle": (
        rules(
            ("trigger: {message: any}, throttle: {once_within: 30s, by: message.text}", PUT % "x")
        ),
        [RINGS, *((at, "say", text) for at, text in ((1, "a"), (12, "b"), (20, "a"), (31.5, "a")))],
    ),
    "once": (
        rules(("trigger: {message: any}, once: participant", "wait: 5s", PUT % "x")),
        [RINGS, (1, "say", "a"), (3, "say", "b"), (6, "", ""), (10, "say", "c"), (15, "", "")],
    ),
    "schedule": (
        rules(("trigger: {every: 10s}", PUT % "x", "wait: 3s", PUT % "y")),
        [(0.5, "", ""), (10, "", ""), (13, "", ""), (20, "", "")],
    ),
    "completion": (
        rules(
            (
                "trigger: {state: Talking}",
                "wait: 10s, even_if_completed: true",
                "set: {never: '1'}",
                PUT % "x" + ", even_if_completed: true",
            ),
            ("trigger: {state: Completed}", "wait: 20s", PUT % "y"),
        ),
        [RINGS, (5, "state", "Completed"), (10, "", ""), (25, "", "")],
    ),
} | {
    mode: (
        rules((f"trigger: {{message: any}}, mode: {mode}", PUT % "x", "wait: 10s", PUT % "y")),
        [RINGS, (1, "say", "a"), (5, "say", "b"), (11, "", ""), (12, "say", "c"), (22, "", "")],
    )
    for mode in ("single", "queue", "restart", "parallel")
}

#: When after each happening: after so many cycles of the loop, or seconds.
MOMENTS = [*((cycles, 0) for cycles in range(0, 24, 2)), (0, 0.01), (0, 0.06)]


class OneByOne(MemoryStore):
    """A store that lets others go on whenever it is asked for something."""

    async def commit(self, changes):
        await asyncio.sleep(0)
        await super().commit(changes)
        await asyncio.sleep(0)

    def reopened(self):
        return OneByOne(self.durable)


class Web:
    """A server that takes everything, and the times at which it was asked."""

    def __init__(self, done):
        self.done = done

    async def send(self, request):
        await asyncio.sleep(0)
        self.done[request.url].append(round(asyncio.get_running_loop().time(), 1))
        await asyncio.sleep(0)
        return Reply(200, {}, b"")

    async def close(self):
        pass


async def tell(book, story, killed_at, moment):
    """Return when each effect came about; imbot is killed once and started again."""
    clock, loop, done = LoopClock(MONDAY_NOON), asyncio.get_running_loop(), defaultdict(list)
    gws = {"bot1": FakeGws()}
    gws["bot1"].on_done = lambda it: done[str(it.given)].append(round(loop.time(), 1))

    async def start(store):
        house = build(book, agents=gws, http=Web(done), store=store, clock=clock, usable=USABLE)
        await house.start()
        return house

    house = await start(OneByOne())
    for number, (at_s, what, of) in enumerate([*story, LONG_AFTER]):
        await asyncio.sleep(at_s - loop.time())
        if what == "state":
            await house.state(of, settle=False)
        elif what == "say":
            await house.hear(MessageNotice("s1", of, clock.now()))
        if number == killed_at:
            for _ in range(moment[0]):
                await asyncio.sleep(0)
            await asyncio.sleep(moment[1])
            house.store.abandon()
            await house.timers.close()
            await house.tasks.cancel()
            house = await start(house.store.reopened())
    left = len(house.flow.runs)
    await house.stop()
    return {what: sorted(set(ats)) for what, ats in done.items()}, left


@cache
def book_of(story):
    return rulebook_of(STORIES[story][0])


def play(story, killed_at=-1, moment=(0, 0)):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(tell(book_of(story), STORIES[story][1], killed_at, moment))


def within(ats, others):
    """Whether each of these times is one of the others, as near as a start may be late."""
    return all(any(abs(at - other) < 0.11 for other in others) for at in ats)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("story", STORIES)
def test_killed_at_any_moment_the_story_is_the_same(story):
    """What may be repeated may be done twice at the kill; nothing is left out, late or too much."""
    wanted, left = play(story)
    assert wanted
    for killed_at in range(len(STORIES[story][1])):
        for moment in MOMENTS:
            found, still = play(story, killed_at, moment)
            assert found.keys() == wanted.keys(), (killed_at, moment)
            for what, ats in wanted.items():
                assert within(ats, found[what]), (what, killed_at, moment)
                assert within(found[what], ats), (what, killed_at, moment)
            assert still == left
