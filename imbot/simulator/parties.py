"""The other parties: people outside, played by a script or by chance. World and clock, no HTTP."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from imbot.clock import Clock
from imbot.simulator.conversation import RefusedError
from imbot.simulator.journal import Entry, Happening
from imbot.simulator.world import State, World


@dataclass(frozen=True, slots=True)
class Say:
    """Say this."""

    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Expect:
    """Wait until the agent says something, something with this in it if given."""

    text: str = ""
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Complete:
    """Hang up."""


Step = Say | Wait | Expect | Complete


@dataclass(frozen=True, slots=True)
class Conversation:
    """How a script went.

    Attributes:
        session_id: The IM session; empty when the agent could not be rung.
        heard: What the agent said, in order.
        missed: The texts expected in vain.
    """

    session_id: str = ""
    heard: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


@dataclass(slots=True)
class _Ear:
    """What one party hears in its IM session."""

    number: str
    heard: list[str] = field(default_factory=list)
    unread: int = 0
    over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self, entry: Entry) -> None:
        if entry.kind is Happening.MESSAGE and entry.number != self.number:
            self.heard.append(entry.text)
        if entry.kind is Happening.STATE and entry.name == State.COMPLETED:
            self.over = True
        self.news.set()

    async def find(self, text: str) -> None:
        """Return once an unread message has this text in it, which reads all up to there."""
        while True:
            for place in range(self.unread, len(self.heard)):
                if text.casefold() in self.heard[place].casefold():
                    self.unread = place + 1
                    return
            self.news.clear()
            await self.news.wait()

    async def answered(self, world: World, session_id: str) -> None:
        while not self.over and world.session(session_id).state is not State.TALKING:
            self.news.clear()
            await self.news.wait()


async def play(
    world: World,
    clock: Clock,
    *,
    agent: str,
    number: str,
    script: Sequence[Step],
    user_data: dict[str, object] | None = None,
    answer_timeout_s: float = 10.0,
) -> Conversation:
    """Ring the agent as ``number``, follow the script and return how it went.

    Ends early when the session is over; completes it at the end in any case.
    """
    ear = _Ear(number)
    try:
        session_id = world.ring(agent, number, user_data)
    except RefusedError:
        return Conversation()
    stop = world.listen(ear.listen, session=session_id)
    missed: list[str] = []
    try:
        async with asyncio.timeout(answer_timeout_s):
            await ear.answered(world, session_id)
        for step in script:
            if world.session(session_id).is_live:
                await _take(step, world, clock, session_id=session_id, ear=ear, missed=missed)
    except TimeoutError:
        missed.append("<answer>")
    finally:
        stop()
        if world.session(session_id).is_live:
            world.complete(session_id)
    return Conversation(session_id, tuple(ear.heard), tuple(missed))


async def _take(
    step: Step, world: World, clock: Clock, *, session_id: str, ear: _Ear, missed: list[str]
) -> None:
    match step:
        case Say(text):
            world.say(session_id, text)
        case Wait(seconds):
            await clock.sleep(seconds)
        case Expect(text, timeout_s):
            try:
                async with asyncio.timeout(timeout_s):
                    await ear.find(text)
            except TimeoutError:
                missed.append(text)
        case Complete():
            world.complete(session_id)


#: What people say who have nothing to ask in particular.
LINES = (
    "Hello",
    "Hi, is anybody there?",
    "I have a question about my invoice",
    "When do you open tomorrow?",
    "My order has not arrived yet",
    "Could somebody call me back?",
    "Thank you",
    "That is all, bye",
)


@dataclass(frozen=True, slots=True)
class Manners:
    """How random parties behave.

    Attributes:
        numbers: Where they ring from.
        lines: What they say.
        most_lines: Lines per conversation, from 1 to this.
        think_s: Longest pause before a line.
        patience_s: How long they wait for the bot after a line.
        pause_s: Longest pause between two conversations.
    """

    numbers: Sequence[str] = ("3001", "3002", "3003", "3004")
    lines: Sequence[str] = LINES
    most_lines: int = 3
    think_s: float = 1.0
    patience_s: float = 5.0
    pause_s: float = 2.0


async def chatter(
    world: World, clock: Clock, *, random: Random, manners: Manners, sessions: int | None = None
) -> list[Conversation]:
    """Ring free agents one after another and talk with them; return how it went.

    Does ``sessions`` conversations; without a number it goes on until it is cancelled.
    """
    done: list[Conversation] = []
    while sessions is None or len(done) < sessions:
        await clock.sleep(random.uniform(0, manners.pause_s))
        free = [agent.user for agent in world.agents if world.is_free(agent.user)]
        if not free:
            continue
        conversation = await play(
            world,
            clock,
            agent=random.choice(free),
            number=random.choice(manners.numbers),
            script=_small_talk(random, manners),
        )
        if sessions is not None:
            done.append(conversation)
    return done


def _small_talk(random: Random, manners: Manners) -> list[Step]:
    script: list[Step] = [Expect(timeout_s=manners.patience_s)]
    for _ in range(random.randint(1, manners.most_lines)):
        script += [
            Wait(random.uniform(0, manners.think_s)),
            Say(random.choice(manners.lines)),
            Expect(timeout_s=manners.patience_s),
        ]
    return [*script, Complete()]
