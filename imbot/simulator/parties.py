"""The other parties: people outside, played by a script or by chance. World and clock, no HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from imbot.clock import Clock
from imbot.simulator.conversation import RefusedError
from imbot.simulator.journal import Entry, Happening
from imbot.simulator.world import World


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


class _Party:
    """One outside party in its IM session, and what it hears there."""

    def __init__(self, world: World, session_id: str) -> None:
        self._world = world
        self.session = world.session(session_id)
        self.heard: list[str] = []
        self.missed: list[str] = []
        self._unread = 0
        self._news = asyncio.Event()

    def listen(self, entry: Entry) -> None:
        """Take in an entry of the session's log."""
        if entry.kind is Happening.MESSAGE and entry.agent:
            self.heard.append(entry.text)
        self._news.set()

    async def answered(self, timeout_s: float) -> None:
        """Return when the session rings no longer, or after so long."""
        if not await self._until(lambda: not self.session.is_ringing, timeout_s):
            self.missed.append("<answer>")

    async def take(self, step: Step, clock: Clock) -> None:
        """Take one step of a script."""
        match step:
            case Say(text):
                self._world.say(self.session.id, text)
            case Wait(seconds):
                await clock.sleep(seconds)
            case Expect(text, timeout_s):
                if not await self._until(lambda: self._read(text), timeout_s):
                    self.missed.append(text)
            case Complete():
                self._world.complete(self.session.id)

    def _read(self, text: str) -> bool:
        """Read on to the message that has this text in it; return whether there is one."""
        for place in range(self._unread, len(self.heard)):
            if text.casefold() in self.heard[place].casefold():
                self._unread = place + 1
                return True
        return False

    async def _until(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether it came to hold, in time and before the session was over."""
        try:
            async with asyncio.timeout(timeout_s):
                while not holds():
                    if not self.session.is_live:
                        return False
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True


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
    try:
        party = _Party(world, world.ring(agent, number, user_data))
    except RefusedError:
        return Conversation()
    session = party.session
    stop = world.listen(party.listen, session=session.id)
    try:
        await party.answered(answer_timeout_s)
        for step in script:
            if session.was_talking and session.is_live:
                await party.take(step, clock)
    finally:
        stop()
        if session.is_live:
            world.complete(session.id)
    return Conversation(session.id, tuple(party.heard), tuple(party.missed))


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
