"""What a finding must say, and how checks rest on each other."""

import asyncio
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.doctor.findings import (
    NEEDS,
    OF_AGENTS,
    WITH_ONE_AGENT,
    Check,
    Finding,
    Grade,
    worst,
)
from imbot.doctor.rounds import LIMIT_S, Round
from imbot.problems import Place, Problem, Severity


def test_whatever_is_not_ok_names_its_cure():
    """A check that only complains leaves its reader alone."""
    with pytest.raises(ValueError, match="do not go together"):
        Finding.failed("broken", "")
    with pytest.raises(ValueError, match="do not go together"):
        Finding(Grade.OK, "fine", "do nothing")


@pytest.mark.parametrize(
    ("severity", "grade"), [(Severity.ERROR, Grade.FAILED), (Severity.WARNING, Grade.WARNING)]
)
def test_a_mistake_in_a_file_brings_its_place_and_its_cure(severity, grade):
    problem = Problem(Place("a.yaml", 3, 1), "wrong", "it is wrong", "write it right", severity)

    assert Finding.of(problem, "mend it") == Finding(
        grade, "a.yaml:3:1: it is wrong", "write it right"
    )


def test_a_mistake_that_names_no_cure_gets_one():
    assert Finding.of(Problem(Place("a"), "wrong", "it is"), "mend it").cure == "mend it"


@given(st.lists(st.sampled_from(Grade)))
def test_the_worst_grade_counts(grades):
    found = [Finding(grade, "f", "" if grade is Grade.OK else "c") for grade in grades]

    assert worst(found) is max(grades, key=list(Grade).index, default=Grade.OK)


def test_checks_rest_only_on_checks_before_them():
    """Otherwise one would be made although what it needs fails later."""
    order = list(Check)

    assert all(order.index(need) < order.index(check) for check in NEEDS for need in NEEDS[check])
    assert (*OF_AGENTS, *WITH_ONE_AGENT) == tuple(order[order.index(Check.TOKEN) :])


def test_every_check_says_in_a_sentence_what_it_looks_at():
    assert [check for check in Check if not check.means.endswith(".")] == []


# Rounds ---------------------------------------------------------------------------------------


class Told(list):
    def __call__(self, result):
        self.append(result)

    def grades(self):
        return [(result.check, result.finding.grade) for result in self]


async def fine():
    return Finding.ok("fine")


async def broken():
    return Finding.failed("broken", "mend it")


async def never():
    pytest.fail("a check was made that rests on a failed one")


async def test_what_rests_on_a_failed_check_is_skipped_and_names_the_root():
    """Ten failures that follow from one would hide it."""
    told = Told()
    own = Round(told)
    await own.look(Check.DNS, broken)
    await own.look(Check.PORT, never)
    await own.look(Check.TLS, never)

    assert told.grades() == [
        (Check.DNS, Grade.FAILED),
        (Check.PORT, Grade.SKIPPED),
        (Check.TLS, Grade.SKIPPED),
    ]
    assert told[-1].finding == Finding.skipped("it rests on dns", "see to dns first")
    assert not own.may(Check.TLS)
    assert own.may(Check.ZONES)


async def test_a_warning_stops_nothing():
    told = Told()
    own = Round(told)

    async def so_so():
        return [Finding.hint("h", "c"), Finding.warning("w", "c")]

    await own.look(Check.DNS, so_so)
    await own.look(Check.PORT, fine)

    assert [grade for _, grade in told.grades()] == [Grade.HINT, Grade.WARNING, Grade.OK]


async def test_a_round_about_an_agent_rests_on_the_one_before():
    told = Told()
    before = Round(told)
    await before.look(Check.VERSION, broken)
    await Round(told, about="bot1", stopped=before.stopped).look(Check.TOKEN, never)

    assert (told[-1].about, told[-1].finding.found) == ("bot1", "it rests on version")


async def test_what_goes_wrong_unforeseen_is_itself_a_failed_check():
    """The doctor never falls ill itself."""
    told = Told()

    async def ill():
        raise KeyError("oh")

    await Round(told).look(Check.DNS, ill)

    assert told[0].finding.grade is Grade.FAILED
    assert told[0].finding.found == "KeyError: 'oh'"


async def test_a_system_call_that_times_out_is_told_as_what_it_is():
    told = Told()

    async def late():
        raise TimeoutError("the disk said so")

    await Round(told).look(Check.DNS, late)

    assert told[0].finding.found == "TimeoutError: the disk said so"


@pytest.mark.looptime
async def test_a_check_that_hangs_ends():
    """Every wait has a bound."""
    told = Told()

    async def hanging():
        await asyncio.sleep(10 * LIMIT_S)

    await Round(told).look(Check.DNS, hanging)

    assert told[0].finding.found == f"it took more than {LIMIT_S:g} s"


async def test_ctrl_c_is_no_finding():
    told = Told()

    async def stopped():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Round(told).look(Check.DNS, stopped)
    assert told == []


# The guide ------------------------------------------------------------------------------------

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "doctor.md"


def test_the_guide_says_for_each_check_what_to_do_and_for_no_other():
    """Whoever reads a failed check at night looks it up there."""
    _, _, table = GUIDE.read_text().partition("## What to do")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \| [^|]+ \|$", table, re.MULTILINE)

    assert [name for name, _ in rows] == list(Check)
    assert {grade for _, grades in rows for grade in grades.split(", ")} == {
        Grade.FAILED,
        Grade.WARNING,
        Grade.HINT,
    }
