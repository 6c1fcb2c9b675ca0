"""600 sessions through a simulated GWS of which one request in twenty goes wrong.

Real sockets, real time, a real store; the seed decides which faults strike, not when exactly, so a
run is alike and not the same. IMBOT_SEED=N tries another one.
"""

import asyncio
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from imbot.clock import SystemClock
from imbot.records import EffectState
from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.faults import FaultKind, Faults
from imbot.simulator.parties import Complete, Conversation, Expect, play
from imbot.simulator.settings import AgentAccount
from tests.wire.house import running, store_views, tell, until

SEED = int(os.environ.get("IMBOT_SEED", "20260301"))

AGENTS = ("bot1", "bot2", "bot3")
SESSIONS_EACH = 200

#: A person waits so long for a word, then hangs up.
PATIENCE_S = 6.0

#: 3 % of all requests go wrong before anything is done. Another 2 % of the operations are done and
#: their replies lost or wrong; another 2 % of the polls lose their events or their session.
FAULTS = Faults.model_validate(
    {
        "drop_before": 0.003,
        "error_before": 0.003,
        "unavailable": 0.003,
        "html_502": 0.002,
        "session_lost": 0.006,
        "csrf_rotated": 0.008,
        "hang": 0.002,
        "slow_drip": 0.003,
        "drop_after": 0.008,
        "error_after": 0.008,
        "hang_after": 0.004,
        "poll_reply_lost": 0.012,
        "unknown_client_connect": 0.006,
        "poll_cut": 0.002,
        "hang_s": 1.0,  # then the proxy in front of GWS closes
        "cut_after_s": 0.5,
        "drip_s": 0.0,  # byte by byte all the same
    }
)


@dataclass(frozen=True)
class Call:
    """One session: whose, when, and what the other party heard."""

    agent: str
    began_at: datetime
    ended_at: datetime
    went: Conversation


async def ring_in_a_row(simulator, agent):
    """Ring until so many sessions have come about, one after the other."""
    calls = []
    script = (Expect("Hello", timeout_s=PATIENCE_S), Complete())
    while len(calls) < SESSIONS_EACH:
        began_at = datetime.now(UTC)
        went = await play(simulator.world, SystemClock(), agent=agent, number="3002", script=script)
        if went.session_id:
            calls.append(Call(agent, began_at, datetime.now(UTC), went))
        else:
            await asyncio.sleep(0.05)  # the agent is out, or its last session is not over
    return calls


def is_told(call, views, gaps):
    """Whether people can see why nobody greeted: a reply parked or given up, or a gap then."""
    history = views.session(call.went.session_id, agent=call.agent)
    is_parked = any(one.view.parked for one in history)
    given_up = (EffectState.CANCELLED, EffectState.EXPIRED)
    is_over = any(each.effect.state in given_up for one in history for each in one.effects)
    return (
        is_parked
        or is_over
        or any(
            gap.agent == call.agent
            and gap.started_at <= call.ended_at
            and gap.ended_at >= call.began_at
            for gap in gaps
        )
    )


@pytest.mark.timeout(120)
async def test_nobody_is_greeted_twice_and_nobody_is_left_out_in_silence(tmp_path):
    tell(f"IMBOT_SEED={SEED}")
    accounts = tuple(
        AgentAccount(user=user, password=f"pw-{user}", number=f"100{n}")
        for n, user in enumerate(AGENTS)
    )
    async with Simulator(SimulatorSettings(agents=accounts, seed=SEED)) as simulator:
        delivery = {"quiesce": "5s"}
        async with running(
            tmp_path, simulator.url, seed=SEED, agents=AGENTS, delivery=delivery
        ) as imbot:
            await imbot.up()
            simulator.faults = FAULTS
            rows = await asyncio.gather(*(ring_in_a_row(simulator, one) for one in AGENTS))
            simulator.faults = Faults()
        struck = simulator.world.faults.struck
    calls = [call for row in rows for call in row]
    heard = Counter(sum("Hello" in text for text in call.went.heard) for call in calls)
    tell(f"{len(calls)} sessions by how often they were greeted: {dict(heard)}")
    tell(f"faults: {dict(struck)}")
    missed = [call for call in calls if not call.went.heard]
    with store_views(tmp_path) as views:
        gaps = views.gaps(limit=100_000)
        in_silence = [call for call in missed if not is_told(call, views, gaps)]
    assert in_silence == []
    assert max(heard) == 1, [call for call in calls if len(call.went.heard) > 1]
    assert heard[1] >= 0.97 * len(calls) == 0.97 * 600


async def test_what_happens_while_a_slow_reply_is_read_is_inside_the_gap(tmp_path):
    """The server forgets the client right after a reply that took long to arrive.

    A session that came and went meanwhile was in no reply; only the gap can tell of it.
    """
    accounts = (AgentAccount(user="bot1", password="pw-bot1", number="1001"),)
    async with Simulator(SimulatorSettings(agents=accounts)) as simulator:
        world = simulator.world
        async with running(tmp_path, simulator.url) as imbot:
            await imbot.up()
            once = {"next": 1, "only": ["/meta/connect"]}
            simulator.faults = Faults.model_validate({"slow_drip": once, "drip_s": 0.0005})
            world.complete(world.ring("bot1", "3001"))
            await world.until(lambda: FaultKind.SLOW_DRIP in world.faults.struck)
            simulator.faults = Faults.model_validate({"unknown_client_connect": once})
            await asyncio.sleep(0.3)  # in the middle of the reading
            began_at = datetime.now(UTC)
            world.complete(world.ring("bot1", "3002"))
            ended_at = datetime.now(UTC)
            await until(imbot.gaps)
    [gap] = imbot.gaps()
    assert gap.started_at <= began_at
    assert ended_at <= gap.ended_at
