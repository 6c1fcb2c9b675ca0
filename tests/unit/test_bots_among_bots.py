"""Two and three bots in one session, and a parrot: whatever they say and how fast, it ends.

Each is a whole engine with rules of its own; what one says the others hear after a while, and it
hears its own words again. ``IMBOT_LOOP_SEEDS=1000`` plays more of them.
"""

import asyncio
import os
from random import Random

import pytest

from imbot.engine.guard import LOOP_S
from imbot.model import ImSession, MessageNotice, Participant, SessionNotice
from imbot.testing.fake_gws import FakeGws
from imbot.testing.house import build

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(600)]

SEEDS = range(int(os.environ.get("IMBOT_LOOP_SEEDS", "8")))

#: What each bot says at most, for each reply to a message: twenty, and what had been decided then.
MOST = 30

RULES = """
version: 1
rules:
  - id: greet
    trigger: {{state: Talking}}
    once: session
    do: [{{reply: "Hello from {name}"}}]
  - id: answer
    trigger: {{message: any}}
    mode: {mode}
    do: [{steps}]
"""

SAYS = (
    '{reply: "I see. Tell me more."}',
    "{reply: \"You said '{{ message.text | truncate(40) }}'.\"}",
    '{wait: 1s}, {reply: "Please rephrase."}',
)


class Room:
    """One IM session with several bots in it."""

    def __init__(self, random, count, *, parrot=False):
        self.random = random
        self.user_data = {}
        self.said = [0] * count
        self.replies = [random.choice((1, 1, 1, 2)) for _ in range(count)]
        self.marks = [random.random() < 0.3 for _ in range(count)]
        self.is_parrot = parrot
        self.houses = [self.house(n) for n in range(count)]

    def house(self, number):
        steps = ", ".join(self.random.choice(SAYS) for _ in range(self.replies[number]))
        mode = self.random.choice(("single", "queue"))
        rules = RULES.format(name=f"bot{number}", steps=steps, mode=mode)
        user = f"bot{number}"
        gws = FakeGws(on_done=lambda done: self.done(number, done))
        return build(rules, agents={user: gws}, marks=self.marks[number])

    def done(self, number, done):
        if done.name == "UpdateUserData":
            self.user_data |= done.given
            for one, house in enumerate(self.houses):
                self.later(one, house, self.session())
        if done.name != "SendMessage":
            return
        self.said[number] += 1
        for one, house in enumerate(self.houses):
            self.later(one, house, done.given["text"])
        if self.is_parrot:
            self.later(number, self.houses[number], done.given["text"], at_least_s=0.1)

    def session(self):
        return ImSession("s1", "Talking", dict(self.user_data), (Participant("3002", "3002"),))

    def later(self, number, house, what, *, at_least_s=0.0):
        delay_s = at_least_s + self.random.choice((0.01, 0.2, 1.0)) * self.random.random()
        asyncio.get_running_loop().call_later(
            delay_s, lambda: asyncio.ensure_future(self.tell(number, house, what))
        )

    async def tell(self, number, house, what):
        now = house.clock.now()
        if isinstance(what, str):
            notice = MessageNotice("s1", what, now)
        else:
            notice = SessionNotice(what, now, "AttachedDataChanged")
        await house.hear(notice, agent=f"bot{number}")

    async def begin(self):
        for number, house in enumerate(self.houses):
            notice = SessionNotice(self.session(), house.clock.now())
            await house.hear(notice, agent=f"bot{number}")

    def check(self, times=1):
        for said, replies in zip(self.said, self.replies, strict=True):
            assert said <= MOST * replies * times, (self.said, self.replies, self.marks)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [2, 3])
async def test_bots_that_answer_each_other_fall_silent(seed, count):
    """And stay so, for none of them says the first word."""
    room = Room(Random(f"{seed} {count}"), count)  # noqa: S311  reproducible
    await room.begin()
    await asyncio.sleep(120)
    said = sum(room.said)
    room.check()
    await asyncio.sleep(60)

    assert sum(room.said) == said
    assert max(room.said) >= 1


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_parrot_is_left_alone_each_time_it_begins_anew(seed):
    """A quarter of an hour later it is answered again, and found out again."""
    room = Room(Random(f"{seed} parrot"), 1, parrot=True)  # noqa: S311  reproducible
    await room.begin()
    await asyncio.sleep(120)
    room.check()
    await asyncio.sleep(LOOP_S)
    await room.houses[0].hear(
        MessageNotice("s1", "hello", room.houses[0].clock.now()), agent="bot0"
    )
    await asyncio.sleep(120)

    room.check(times=2)
