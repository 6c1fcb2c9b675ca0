"""Killed before and after every step of the journal: what the recovery table says comes true."""

import asyncio
import os
from statistics import median

import pytest

from imbot.simulator import Simulator, SimulatorSettings
from imbot.simulator.settings import AgentAccount
from tests.faults.killing import kill_all, watch_polls
from tests.faults.recoverytable import MOMENTS, TARGETS, moments_of
from tests.machine import own_s, waited_for_a_cpu_s
from tests.wire.house import STORE, Daemon, settings_file, tell, until

pytestmark = pytest.mark.alone

#: How often the table is played: of an answer, a greeting and a goodbye in turn, and from the
#: fourth round on killed again in recovery, or by a GWS that sends nothing again.
ROUNDS = int(os.environ.get("IMBOT_KILLS", "1"))


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Kill imbot at every moment of every round."""
    found = []
    for number in range(ROUNDS):
        folder = tmp_path_factory.mktemp("killed")
        moments = moments_of(tuple(TARGETS)[number % 3])
        how = {"again": number // 3 % 3 == 1, "ack": number // 3 % 3 != 2}
        found += asyncio.run(kill_all(folder, moments, **how))
    starts_s = sorted(one.restart_s for one in found)
    tell(
        f"{len(found)} kills, {sum(bool(one.wrong) for one in found)} of them wrong; "
        f"restart {median(starts_s):.2f} s, at most {starts_s[-1]:.2f} s"
    )
    return found


@pytest.mark.timeout(300 * ROUNDS)
@pytest.mark.parametrize("place", [(at.step, at.when) for at in MOMENTS], ids=" ".join)
def test_what_is_left_of_a_kill_is_what_the_table_says(killed, place):
    """The state in the store, what GWS heard, and that nothing is lost, doubled or parked."""
    for one in killed:
        if (one.moment.step, one.moment.when) == place:
            assert not one.wrong, (str(one), one.left, one.ended, one.said, one.log)


#: From the start of the process, imports and all, to its first good poll.
RESTART_S = 5.0


@pytest.mark.timed
@pytest.mark.timeout(180)
async def test_a_restart_takes_less_than_five_seconds(tmp_path):
    """GWS keeps a Bayeux session for ten: what is said meanwhile is heard by the next process."""
    account = AgentAccount(user="bot1", password="pw-bot1", number="1001")
    polls: list[float] = []
    async with (
        Simulator(SimulatorSettings(agents=(account,))) as simulator,
        Daemon(settings_file(tmp_path, simulator.url)) as daemon,
    ):
        watch_polls(simulator, polls.append)
        await until(lambda: polls, within_s=60)
        took_s = []
        # Another try, should the machine have been busy with something else.
        while min(took_s, default=RESTART_S) >= RESTART_S and len(took_s) < 5:
            await daemon.kill()
            # A third crash within minutes would start it in safe mode.
            (tmp_path / f"{STORE}.starts").unlink()
            began_at = own_s()
            await daemon.start()
            await until(lambda since=began_at: polls[-1] > since, within_s=60)
            waited_s = waited_for_a_cpu_s(daemon.process.pid)
            took_s.append(own_s() - began_at - waited_s)
    tell(f"restarts: {', '.join(f'{one:.1f} s' for one in took_s)}")
    assert min(took_s) < RESTART_S
