"""Three agents, two hundred sessions each in a row, and every twentieth exchange goes wrong."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

import pytest

from imbot.simulator.conversation import RefusedError
from tests.flow.stage import GREETING, staged

pytestmark = [pytest.mark.looptime(noop_cycles=1), pytest.mark.timeout(300)]

USERS = ("bot1", "bot2", "bot3")
SESSIONS_EACH = 200

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
}

HELLO = "you reached Robin"


@dataclass
class Tally:
    """How the sessions went.

    Attributes:
        greetings: By session, how often it was greeted.
        silent: The sessions that were never greeted and whose store shows neither a parked reply
            nor a gap.
    """

    greetings: dict[str, int] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    excused: Counter = field(default_factory=Counter)

    @property
    def twice(self):
        return [session for session, times in self.greetings.items() if times > 1]

    @property
    def greeted(self):
        return sum(times > 0 for times in self.greetings.values())


async def converse(stage, user, random):
    """Ring one agent again and again, stay a while, hang up; return the sessions."""
    calls = []
    while len(calls) < SESSIONS_EACH:
        await stage.seconds(random.uniform(0.5, 4))
        try:
            call = stage.ring(str(random.randrange(3001, 3100)), user)
        except RefusedError:
            continue  # Logged out for the moment, or still in the session before.
        calls.append(call)
        await stage.seconds(random.uniform(15, 40))
        if not call.is_over:
            call.hang_up()
    return calls


async def season(folder, seed, *, ack=True, faults=FAULTS):
    """Return how six hundred sessions went."""
    async with staged(folder, seed=seed, users=USERS, ack=ack) as stage:
        imbot = await stage.start(GREETING, users=USERS)
        stage.faults(**faults)
        random = Random(seed)
        talks = [converse(stage, user, Random(random.random())) for user in USERS]
        calls = [call for done in await asyncio.gather(*talks) for call in done]
        stage.faults()
        await stage.seconds(120)
        assert imbot.is_running
        await imbot.stop()
        return tally(stage, calls)


def tally(stage, calls):
    found = Tally()
    with stage.views() as views:
        parked = {effect.intent.session_id for effect in views.parked()}
        gaps = views.gaps(100_000)
        seen = {
            (view.seen.agent, view.seen.session.id): view for view in views.sessions(100_000)
        }
    for call in calls:
        found.greetings[call.id] = sum(HELLO in text for text in call.heard)
        if found.greetings[call.id]:
            continue
        view = seen.get((call.session.agents[0].user, call.id))
        began = next(e.at for e in stage.simulator.world.log if e.session == call.id)
        ended = [e.at for e in stage.simulator.world.log if e.session == call.id][-1]
        covered = any(
            gap.agent == call.session.agents[0].user
            and gap.started_at <= ended
            and began <= gap.ended_at
            for gap in gaps
        )
        if call.id in parked:
            found.excused["parked"] += 1
        elif view is not None and view.gaps:
            found.excused["gap"] += 1
        elif covered:
            found.excused["gap over all of it"] += 1
        else:
            found.silent.append(call.id)
    return found


@pytest.mark.parametrize("ack", [True, False], ids=["ack", "no ack"])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nobody_is_greeted_twice_and_nobody_forgotten(tmp_path, seed, ack):
    """The promise about delivery, under faults of every kind."""
    found = await season(tmp_path, seed, ack=ack)

    total = len(found.greetings)
    print(
        f"seed {seed}, ack {ack}: {total} sessions, {found.greeted} greeted "
        f"({found.greeted / total:.1%}), {len(found.twice)} twice, "
        f"not greeted: {dict(found.excused)}, silent {len(found.silent)}"
    )
    assert not found.twice
    assert not found.silent
    assert found.greeted >= 0.97 * total
