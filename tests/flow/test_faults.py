"""Three agents, many sessions each in a row, and every twentieth exchange goes wrong."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

import pytest

from imbot.records import EffectState
from imbot.simulator.conversation import RefusedError
from tests.flow.stage import GREETING, staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(300)]

USERS = ("bot1", "bot2", "bot3")

#: Chances that add up to 5 % for each operation, and to 5 % for each poll; a silence ends after
#: 15 s, as a proxy would end it. (One of 40 s, the poll's own limit, is older than a greeting may
#: be: whoever rings meanwhile is not greeted, and the gap says so.)
FAULTS = {
    "drop_before": 0.004,
    "hang": 0.003,
    "unavailable": 0.004,
    "html_502": 0.003,
    "error_before": 0.004,
    "session_lost": 0.004,
    "csrf_rotated": 0.004,
    "lb_cookie": 0.003,
    "slow_drip": 0.003,
    "drop_after": 0.006,
    "hang_after": 0.006,
    "error_after": 0.006,
    "unknown_client_connect": 0.006,
    "poll_reply_lost": 0.006,
    "poll_cut": 0.006,
    "hang_s": 15,
    "drip_s": 0.01,
}


@dataclass
class Tally:
    """How the sessions went.

    Attributes:
        greetings: By session, how often it was greeted.
        excused: Why sessions were not greeted, counted: what ``imbot sessions`` shows of them.
        silent: The sessions that were not greeted and of which it shows nothing.
    """

    greetings: dict[str, int] = field(default_factory=dict)
    excused: Counter = field(default_factory=Counter)
    silent: list[str] = field(default_factory=list)

    @property
    def twice(self):
        return [session for session, times in self.greetings.items() if times > 1]

    @property
    def greeted(self):
        return sum(times > 0 for times in self.greetings.values())

    def __str__(self):
        total = len(self.greetings)
        return (
            f"{total} sessions, {self.greeted} greeted ({self.greeted / total:.1%}), "
            f"{len(self.twice)} twice, excused {dict(self.excused)}, silent {len(self.silent)}"
        )


async def converse(stage, user, random, sessions):
    """Ring one agent again and again, stay a while, hang up; return the calls."""
    calls = []
    while len(calls) < sessions:
        await stage.seconds(random.uniform(0.5, 4))
        try:
            call = stage.ring(str(random.randrange(3001, 3100)), user)
        except RefusedError:
            continue  # logged out for the moment, or still in the session before
        calls.append(call)
        await stage.seconds(random.uniform(15, 40))
        if not call.is_over:
            call.hang_up()
    return calls


async def season(stage, sessions):
    """Let every agent be rung so often while GWS goes wrong; return the calls."""
    imbot = await stage.start(GREETING, users=USERS)
    stage.faults(**FAULTS)
    talks = [
        converse(stage, user, Random(f"{stage.seed} {user}"), sessions)  # noqa: S311  reproducible
        for user in USERS
    ]
    calls = [call for done in await asyncio.gather(*talks) for call in done]
    stage.faults()
    await stage.seconds(120)
    await imbot.stop()
    return calls


def tally(stage, calls):
    """Count what became of the calls, by what the other parties heard and the store shows."""
    found = Tally()
    with stage.views() as views:
        parked = {effect.intent.session_id for effect in views.parked()}
        gaps = views.gaps(100_000)
        over = {call.id for call in calls if is_given_up(views.session(call.id))}
    for call in calls:
        found.greetings[call.id] = sum("you reached Robin" in text for text in call.heard)
        if found.greetings[call.id]:
            continue
        if call.id in parked:
            found.excused["parked"] += 1
        elif call.id in over:
            found.excused["over"] += 1
        elif any(_covers(gap, call) for gap in gaps):
            found.excused["gap"] += 1
        else:
            found.silent.append(call.id)
    return found


def is_given_up(histories):
    """Return whether a reply is told of that came too late: for the session, or for good."""
    given_up = (EffectState.CANCELLED, EffectState.EXPIRED)
    return any(each.effect.state in given_up for one in histories for each in one.effects)


def _covers(gap, call):
    began, *_, ended = [e.at for e in call.stage.simulator.world.log if e.session == call.id]
    mine = gap.agent == call.session.agents[0].user
    return mine and gap.started_at <= ended and began <= gap.ended_at


@pytest.mark.parametrize(
    ("seed", "ack", "sessions_each"), [(1, True, 200), (2, False, 70), (3, True, 70)]
)
async def test_nobody_is_greeted_twice_and_nobody_forgotten(
    tmp_path, capsys, seed, ack, sessions_each
):
    """The promise about delivery, under faults of every kind."""
    async with staged(tmp_path, seed=seed, users=USERS, ack=ack) as stage:
        found = tally(stage, await season(stage, sessions_each))

    with capsys.disabled():
        print(f"\n  seed {seed}, ack {'on' if ack else 'off'}: {found}")  # noqa: T201  the figure
    assert len(found.greetings) == len(USERS) * sessions_each
    assert not found.twice
    assert not found.silent
    assert found.greeted >= 0.97 * len(found.greetings)


async def test_the_same_seed_gives_the_same_story(tmp_path):
    """A failure that cannot be seen again cannot be mended."""
    logs = []
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        async with staged(tmp_path / folder, seed=7, users=USERS) as stage:
            began = stage.clock.now()
            await season(stage, 10)
            log = stage.simulator.world.log
            logs.append(
                [replace(entry, at=round((entry.at - began).total_seconds(), 3)) for entry in log]
            )

    assert logs[0] == logs[1]
