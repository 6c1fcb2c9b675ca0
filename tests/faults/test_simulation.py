"""The fault simulation: what is promised holds in every schedule, and a seed is a schedule."""

from tests.faults.schedule import schedule
from tests.faults.simulation import Simulator


def test_the_same_seed_does_the_same_again():
    """A failure that does not come again cannot be mended."""
    one, other = Simulator.make(), Simulator.make()

    first = [one.play(seed).history.fingerprint() for seed in range(1, 5)]
    second = [other.play(seed).history.fingerprint() for seed in range(4, 0, -1)]

    assert first == second[::-1]
    assert len(set(first)) == len(first)


def test_every_schedule_has_something_to_prove():
    schedules = [schedule(seed) for seed in range(200)]

    assert min(one.messages for one in schedules) >= 20
    assert sum(len(one.crashes) for one in schedules) >= 2 * len(schedules)
    assert {one.deployment.ack for one in schedules} == {True, False}
