"""Poisoned connections: no agent is stuck, nothing is said twice, what arrived is known to have."""

import logging
import os
from datetime import UTC, datetime

import pytest
import structlog

from tests.faults.toxics import PARTS, TOXICS, end_of_request, part, poison_all
from tests.wire.house import tell

#: Which sixth of them imbot meets, or all of them; without it another one each day.
PART = os.environ.get("IMBOT_TOXICS", str(datetime.now(UTC).toordinal() % PARTS))


@pytest.fixture(autouse=True)
def _quiet():
    """Write nothing down of two dozen lives; the fixture of every test undoes this."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.mark.timeout(900)
async def test_a_poisoned_exchange_costs_time_and_nothing_else(tmp_path):
    """Eight kinds of harm, at six endpoints, in three strengths."""
    found = await poison_all(tmp_path, TOXICS if PART == "all" else part(int(PART)))
    longest = max(found, key=lambda one: one.stuck_s)
    told = sum(one.is_told for one in found)
    tell(
        f"{len(found)} toxics of part {PART}, {told} with a gap or something parked; "
        f"{longest.toxic} took {longest.stuck_s:.1f} s"
    )
    wrong = {str(one.toxic): (one.heard, one.wrong + one.late) for one in found}
    assert not {toxic: what for toxic, what in wrong.items() if what[1]}


def test_each_part_has_every_kind_in_every_strength_at_every_endpoint():
    parts = [part(number) for number in range(PARTS)]
    assert len(TOXICS) == 144
    assert sorted(TOXICS) == sorted(one for each in parts for one in each)
    for each in parts:
        assert len({(one.kind, one.strength) for one in each}) == len(each) == 24
        assert len({one.endpoint for one in each}) == 6


def test_a_request_ends_where_its_length_says():
    request = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nok"
    assert [end_of_request(request[:n]) for n in (5, len(request) - 1)] == [None, None]
    assert end_of_request(request + b"GET") == len(request)
    assert end_of_request(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == 27
