"""There is room for the sockets of every agent, or imbot says so before it begins."""

import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import ImbotError
from imbot.openfiles import make_room, system_limits


class FakeLimits:
    RLIMIT_NOFILE = 7

    def __init__(self, soft, hard, *, refuses=None):
        self.now, self.refuses = (soft, hard), refuses

    def getrlimit(self, which):
        assert which == self.RLIMIT_NOFILE
        return self.now

    def setrlimit(self, which, limits):
        assert which == self.RLIMIT_NOFILE
        if self.refuses is not None:
            raise self.refuses
        self.now = limits


def test_the_limit_is_raised_to_what_is_needed_and_no_further():
    limits = FakeLimits(1024, 1_048_576)
    make_room(5_000, limits)

    assert limits.now == (10_200, 1_048_576)


@pytest.mark.parametrize("soft", [10_200, -1])
def test_what_is_enough_stays(soft):
    limits = FakeLimits(soft, -1)
    make_room(5_000, limits)

    assert limits.now == (soft, -1)


def test_too_few_is_refused_with_the_number_and_the_cure():
    """Else the thousandth login fails with "too many open files", and so does the store."""
    with pytest.raises(
        ImbotError, match=r"^5000 agents need 10200 open files, .* have 4096; .*NOFILE"
    ):
        make_room(5_000, FakeLimits(1024, 4096))


@pytest.mark.parametrize("error", [OSError("not permitted"), ValueError("too many")])
def test_a_system_that_refuses_is_told(error):
    with pytest.raises(ImbotError, match=f"may have 1024, .*{error}"):
        make_room(5_000, FakeLimits(1024, -1, refuses=error))


def test_where_there_are_no_limits_nothing_is_checked():
    make_room(1_000_000, None)


@given(st.integers(0, 10_000), st.integers(-1, 30_000), st.integers(-1, 30_000))
def test_afterwards_there_is_room_or_it_was_refused(agents, soft, hard):
    limits = FakeLimits(soft, hard)
    try:
        make_room(agents, limits)
    except ImbotError:
        assert 0 <= hard < 2 * agents + 200
    else:
        assert limits.now[0] < 0 or limits.now[0] >= 2 * agents + 200


def test_a_real_process_raises_its_own_limit():
    code = """
import resource
from imbot.openfiles import make_room, system_limits
_soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
make_room(10, system_limits())
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  our own code

    assert done.stdout == "220\n"
    assert system_limits() is resource
