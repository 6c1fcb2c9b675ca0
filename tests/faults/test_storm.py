"""Agents that lose GWS together come back together, and do not bury it."""

import pytest

from imbot.gws.admission import LOGINS_PER_S
from tests.faults.storm import BACK_S, PEAK, STORMS, TOTAL, run

#: A fifteenth of the agents against a fifteenth of the server; all of them: see the module.
AGENTS, TAKEN_PER_S = 300, 20


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", STORMS)
def test_everybody_is_back_soon_and_the_server_is_never_asked_for_much_more_than_it_can_do(name):
    """This server can do a fifth of what imbot would begin with: it must find that out."""
    assert TAKEN_PER_S < LOGINS_PER_S / 4

    went = run(name, agents=AGENTS, logins_per_s=TAKEN_PER_S)

    print(went)
    assert went.back_s <= BACK_S
    assert went.peak_share <= PEAK
    assert went.total_share <= TOTAL
