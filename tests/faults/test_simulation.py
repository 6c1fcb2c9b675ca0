"""The fault simulation: what is promised holds in every schedule, and a seed is a schedule."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.__main__ import commit
from tests.faults.campaign import Outcome, Tally, campaign
from tests.faults.schedule import schedule

ROOT = Path(__file__).parents[2]

#: Half of the schedules are the same each time, so that what was mended stays so; the others are
#: new with each commit.
SEEDS = int(os.environ.get("IMBOT_FAULT_SEEDS", "1000"))

#: These fail within a few seeds, so that it costs little to see that the checker notices.
QUICK_CANARIES = ("no-gap", "no-quiesce-at-start", "mark-after-effect", "timer-twice")

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1800)]


def new_seeds(count):
    """Return seeds that only this commit has."""
    name = commit()[:8]
    first = int(name, 16) if re.fullmatch("[0-9a-f]{8}", name) else 0
    return range(1_000_000 + first, 1_000_000 + first + count)


@pytest.fixture(scope="module")
def outcomes():
    """Play the schedules of the suite, in two processes."""
    seeds = [*range(1, SEEDS // 2 + 1), *new_seeds(SEEDS - SEEDS // 2)]
    return list(campaign(seeds))


def test_nothing_is_lost_nothing_comes_twice_and_nothing_gets_stuck(outcomes):
    """What fails names its seed: python -m tests.faults --trace SEED."""
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    print(*tally.report(), sep="\n")

    assert [(one.seed, one.violations) for one in tally.failed] == []
    assert tally.seeds == SEEDS


def test_schedules_are_as_bad_as_they_should_be(outcomes):
    """What fails rarely proves little."""
    assert [told for told in shortfalls(outcomes) if not told.startswith("parked")] == []


def test_little_is_parked(outcomes):
    """What parks everything loses nothing."""
    assert shortfalls(outcomes) == []


def shortfalls(outcomes):
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    return tally.shortfalls()


def test_the_same_seed_does_the_same_again(outcomes):
    """A failure that does not come again cannot be mended; so another process plays some again."""
    seeds = range(20, 0, -1)
    first = {one.seed: one.fingerprint for one in outcomes if one.seed in seeds}

    second = {one.seed: one.fingerprint for one in campaign(seeds, processes=1)}

    assert second == first
    assert len(set(first.values())) == len(seeds)


@pytest.mark.parametrize("canary", QUICK_CANARIES)
def test_the_checker_notices_a_bug(canary):
    """The others take longer: make faults CANARIES=all."""
    with_bug = campaign(range(1, 61), canary=canary)

    assert any(one.violations for one in with_bug)
    with_bug.close()


def test_every_schedule_has_something_to_prove():
    schedules = [schedule(seed) for seed in range(200)]

    assert min(one.messages for one in schedules) >= 20
    assert sum(len(one.crashes) for one in schedules) >= 2 * len(schedules)
    assert {one.deployment.ack for one in schedules} == {True, False}


def test_too_few_faults_and_too_much_that_is_parked_are_told():
    tally = Tally()
    counts = {"messages": 22, "replies": 30, "parked": 1}
    tally.add(Outcome(1, "with ack", 19, 9, 0, counts, (), ""))

    told = "\n".join(tally.shortfalls())

    assert re.findall("^[a-z]+", told, re.MULTILINE) == ["messages", "faults", "crashes", "parked"]
    assert "parked: 3.33 % with ack, at most 1 % may be" in told


def test_the_command_tells_what_it_played():
    command = [sys.executable, "-m", "tests.faults", "--seeds", "2", "--processes", "1"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert re.search(r"^commit \w+\+?, seeds 1 to 2$", done.stdout, re.MULTILINE)
    assert re.search(
        r"^2 schedules, \d+ messages, \d+ faults, \d+ crashes", done.stdout, re.MULTILINE
    )
