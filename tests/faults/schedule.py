"""What a seed stands for: a deployment, what other parties do, how much fails, and the crashes.

Everything that must not depend on what imbot does is drawn here, before anything happens; faults of
single requests are drawn as they come, from chance that the same seed gave.
"""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

#: Virtual seconds in which things fail; the quiet time after it lets everything come to its end.
ACTIVE_S = 600.0
#: So long nothing fails: of what is said before it has ever listened, imbot promises nothing.
WARM_S = 4.0
QUIET_S = 160.0

AGENTS = ("bot1", "bot2")

#: What imbot says to ``again``, always in the same words.
ANSWER_TO_AGAIN = "Once more"

#: Conversations of an agent, one after the other, in slots of equal length.
CONVERSATIONS = 2

#: How much is said in each, in one order or another.
LINES = (5, 5, 6, 6)

#: Where imbot may be killed: see where each is reached in wire.py and disk.py.
STEPS = (
    "before batch commit",
    "after batch commit",
    "before intent commit",
    "after intent commit",
    "before verdict commit",
    "after verdict commit",
    "before echo commit",
    "after echo commit",
    "poll reply read",
    "next connect written",
    "request written",
    "request applied",
    "response read",
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """How this GWS is set up.

    Attributes:
        ack: Whether the Bayeux server acknowledges.
        csrf: Whether requests need a token.
        echo: Whether an agent hears its own words.
        hold_s: How long a poll is held.
        max_interval_s: How long a Bayeux session outlives its last poll.
    """

    ack: bool
    csrf: bool
    echo: bool
    hold_s: float
    max_interval_s: float = 10.0


class Line(NamedTuple):
    """Something that another party says, so many seconds after the session is Talking."""

    after_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """One session of an agent, as the other party plans it.

    Attributes:
        rings_at_s: When it rings.
        answered_s: How long it rings.
        lines: What is said.
        hangs_up_s: When the other party hangs up, counted from Talking.
    """

    agent: str
    session_id: str
    number: str
    rings_at_s: float
    answered_s: float
    lines: tuple[Line, ...]
    hangs_up_s: float


class Crash(NamedTuple):
    """How a life of imbot ends.

    Attributes:
        step: The step at which it is killed; empty for a moment, ``stop`` for an orderly stop.
        count: At which time that the life comes there.
        after_s: Seconds of the life, where there is no step.
        down_s: How long until the next life.
    """

    step: str
    count: int
    after_s: float
    down_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that a seed decides beforehand."""

    seed: int
    deployment: Deployment
    conversations: tuple[Conversation, ...]
    crashes: tuple[Crash, ...]

    @property
    def messages(self) -> int:
        """How many things other parties say."""
        return sum(len(one.lines) for one in self.conversations)


def schedule(seed: int) -> Schedule:
    """Return the schedule of a seed."""
    chance = Random(f"schedule {seed}")
    deployment = Deployment(
        ack=chance.random() < 0.75,
        csrf=chance.random() < 0.5,
        echo=chance.random() < 0.92,
        hold_s=chance.choice((30.0, 60.0)),
    )
    counts = list(LINES)
    chance.shuffle(counts)
    conversations = tuple(
        _conversation(agent, place, counts.pop(), chance)
        for agent in AGENTS
        for place in range(CONVERSATIONS)
    )
    return Schedule(seed, deployment, conversations, tuple(_crashes(chance)))


def _conversation(agent: str, place: int, count: int, chance: Random) -> Conversation:
    slot_s = ACTIVE_S / CONVERSATIONS
    rings_at_s = place * slot_s + chance.uniform(WARM_S, 20.0)
    until_s = slot_s - 160.0
    moments = sorted(chance.uniform(0.5, until_s) for _ in range(count))
    agents_place = AGENTS.index(agent)
    first = 1000 * agents_place + 100 * place
    lines = [Line(moment, _text(first + number, chance)) for number, moment in enumerate(moments)]
    if chance.random() < 0.3:  # some people send two lines at once, or one twice
        lines[1] = Line(moments[0] + 0.001, lines[1].text)
        if chance.random() < 0.5:
            lines[:2] = [line._replace(text="again") for line in lines[:2]]
    if chance.random() < 0.3:
        lines[-1] = lines[-1]._replace(text=f"bye {first + 99}")
    return Conversation(
        agent,
        session_id=f"{agent}-{place}",
        number=f"{3000 + 10 * agents_place + place}",
        rings_at_s=rings_at_s,
        answered_s=chance.uniform(0.05, 2.0),
        lines=tuple(lines),
        # Most wait for an answer, even for one that is proven first; some do not.
        hangs_up_s=slot_s - 23.0
        if chance.random() < 0.75
        else moments[-1] + chance.uniform(2.0, 60.0),
    )


def _text(number: int, chance: Random) -> str:
    """Return a line; its number tells a reply that is lost from one that is said twice."""
    drawn = chance.random()
    if drawn < 0.65:
        return f"line {number}"
    if drawn < 0.74:
        return "again"  # people repeat themselves
    if drawn < 0.76:
        return ANSWER_TO_AGAIN  # and they repeat what they hear
    if drawn < 0.85:
        return f"remind {number}"
    return f"tag {number}"


def _crashes(chance: Random) -> list[Crash]:
    crashes = []
    again = False
    while not crashes or chance.random() < 0.56:
        down_s = chance.choice((0.0, chance.uniform(0.1, 5.0), chance.uniform(0.0, 20.0)))
        crashes.append(_crash(chance, in_recovery=again, down_s=down_s))
        again = chance.random() < 0.4
    return crashes


def _crash(chance: Random, *, in_recovery: bool, down_s: float) -> Crash:
    drawn = chance.random()
    if drawn < 0.05:
        return Crash("stop", 0, chance.uniform(0.0, 5.0 if in_recovery else 250.0), down_s)
    if drawn < 0.35:
        return Crash("", 0, chance.uniform(0.0, 3.0 if in_recovery else 250.0), down_s)
    count = chance.randint(1, 4) if in_recovery else 1 + int(chance.expovariate(1 / 6))
    return Crash(chance.choice(STEPS), count, 0.0, down_s)
