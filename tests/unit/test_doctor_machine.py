"""What imbot runs on: each check when all is well, and when it is not."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.doctor import machine
from imbot.doctor.findings import Grade
from imbot.doctor.machine import AGENT_BYTES, HOUSE_BYTES, Memory

NOW = datetime(2026, 11, 22, tzinfo=UTC)
MIB = 2**20
NUMBERS = st.lists(st.integers(0, 99_999), min_size=1, max_size=4)


def dotted(numbers):
    return ".".join(map(str, numbers))


def test_this_python_will_do():
    assert machine.own_python().grade is Grade.OK


@pytest.mark.parametrize(
    ("version", "optimize", "grade", "cure"),
    [
        ((3, 11, 0), 0, Grade.OK, ""),
        ((3, 12, 1), 1, Grade.FAILED, "unset PYTHONOPTIMIZE and start Python without -O"),
        ((3, 15, 0), 0, Grade.HINT, "use 3.14"),
    ],
)
def test_python_must_be_one_that_imbot_knows(version, optimize, grade, cure):
    found = machine.python(version, optimize)

    assert (found.grade, found.cure) == (grade, cure)


# Packages -------------------------------------------------------------------------------------


def test_the_packages_of_this_environment_are_as_new_as_imbot_asks_for():
    """It is the one that the tests run in."""
    (found,) = machine.packages(machine.own_requirements(), machine.installed_packages())

    assert found.grade is Grade.OK
    assert re.fullmatch(r"imbot \S+, aiohttp \S+, aiocometd 0\.4\.5, and \d+ more", found.found)


def test_a_package_that_is_too_old_or_missing_is_named():
    due = ["aiohttp<4,>=3.14.3", "google_re2>=1.1", "orjson>=3 ; extra == 'fast'", "yarl [x] (>=1)"]
    found = machine.packages(due, {"aiohttp": "3.14.2", "yarl": "1.0"})

    assert [each.found for each in found] == [
        "aiohttp 3.14.2, not <4,>=3.14.3",
        "google-re2 is missing, not >=1.1",
    ]
    assert {each.grade for each in found} == {Grade.FAILED}


def test_an_imbot_that_is_not_installed_does_not_know_what_it_needs(monkeypatch):
    def missing(_name):
        raise machine.metadata.PackageNotFoundError

    monkeypatch.setattr(machine.metadata, "requires", missing)
    (found,) = machine.packages(machine.own_requirements(), {})

    assert found.grade is Grade.HINT


@given(NUMBERS, NUMBERS)
def test_versions_are_compared_number_by_number(ours, theirs):
    """3.9 is older than 3.14, and 4 is 4.0."""
    width = max(len(ours), len(theirs))
    left, right = (each + [0] * (width - len(each)) for each in (ours, theirs))
    expected = {
        "==": left == right,
        "!=": left != right,
        ">=": left >= right,
        "<=": left <= right,
        ">": left > right,
        "<": left < right,
    }

    for operator, holds in expected.items():
        assert machine.satisfies(dotted(ours), operator + dotted(theirs)) is holds


def test_all_bounds_must_hold():
    assert machine.satisfies("3.14.3rc1", ">=3.14.3,<4")
    assert not machine.satisfies("4.0", ">=3.14.3,<4")
    assert not machine.satisfies("unknown", ">=1")


@given(st.text())
def test_any_requirement_is_read_or_left(text):
    """They come from others' metadata."""
    parsed = machine.parse_requirement(text)

    assert parsed is None or parsed[0] == machine.normalised(parsed[0])


def test_aiohttp_reads_http_in_c():
    assert machine.own_parser().grade is Grade.OK


def test_aiohttp_without_its_parser_will_not_do():
    """The two parsers do not agree on everything; imbot is tested with the one in C."""
    found = machine.parser(is_fast=False)

    assert found.grade is Grade.FAILED
    assert "AIOHTTP_NO_EXTENSIONS" in found.cure


def test_what_makes_imbot_faster_is_a_hint():
    assert machine.extras({"uvloop": "1", "orjson": "3"}).found == "uvloop 1, orjson 3"
    found = machine.extras({"uvloop": "1"})
    assert (found.grade, found.found) == (Grade.HINT, "without orjson (faster JSON)")


# Time zones -----------------------------------------------------------------------------------


@pytest.fixture
def zoneinfo(tmp_path):
    (tmp_path / "UTC").write_bytes(b"TZif")
    return tmp_path


def test_the_systems_time_zones_come_first(zoneinfo):
    (zoneinfo / "tzdata.zi").write_text("# version 2026b\nR a\n")
    found = machine.zones({"tzdata": "2020.1"}, NOW, [str(zoneinfo / "no"), str(zoneinfo)])

    assert (found.grade, found.found) == (Grade.OK, f"2026b, of the system ({zoneinfo})")


def test_old_time_zones_are_told(zoneinfo):
    (zoneinfo / "tzdata.zi").write_text("# version 2024a\n")
    found = machine.zones({}, NOW, [str(zoneinfo)])

    assert (found.grade, found.cure) == (Grade.WARNING, "update the system's package tzdata")


def test_where_the_system_has_no_time_zones_the_package_is_used():
    assert machine.zones({"tzdata": "2026.1"}, NOW, []).found == "2026.1, of the package tzdata"
    found = machine.zones({"tzdata": "2023.1"}, NOW, [])
    assert (found.grade, found.cure) == (Grade.WARNING, "pip install --upgrade tzdata")


def test_no_time_zones_at_all_is_a_failure():
    assert machine.zones({}, NOW, []).grade is Grade.FAILED


@pytest.mark.parametrize("text", [None, "no release\n", "# version \xff\n"])
def test_a_system_that_does_not_tell_its_release_is_believed(zoneinfo, text):
    if text is not None:
        (zoneinfo / "tzdata.zi").write_text(text)

    assert machine.zones({}, NOW, [str(zoneinfo)]).grade is Grade.OK


# Limits ---------------------------------------------------------------------------------------


class FakeLimits:
    RLIMIT_NOFILE = 7

    def __init__(self, soft, hard):
        self._both = (soft, hard)

    def getrlimit(self, which):
        assert which == self.RLIMIT_NOFILE
        return self._both


@pytest.mark.parametrize(
    ("limits", "grade"),
    [
        (None, Grade.OK),
        (FakeLimits(-1, -1), Grade.OK),
        (FakeLimits(10_200, 10_200), Grade.OK),
        (FakeLimits(1024, 10_200), Grade.OK),
        (FakeLimits(1024, 10_199), Grade.FAILED),
    ],
)
def test_there_must_be_room_for_the_connections_of_every_agent(limits, grade):
    """The limit is raised by imbot itself as far as it may; beyond that it does not start."""
    assert machine.files(5_000, limits).grade is grade


def test_an_agent_is_counted_as_one():
    assert machine.files(1, FakeLimits(-1, -1)).found == (
        "1 agent needs at most 202 open files; the limit is none"
    )


@pytest.mark.parametrize(
    ("free", "swap", "grade"),
    [
        (HOUSE_BYTES + 100 * AGENT_BYTES, 0, Grade.OK),
        (HOUSE_BYTES + 99 * AGENT_BYTES, 100 * MIB, Grade.WARNING),
        (HOUSE_BYTES, 0, Grade.FAILED),
    ],
)
def test_there_must_be_memory_for_every_agent(free, swap, grade):
    assert machine.memory(100, Memory(free, swap)).grade is grade


def test_a_system_that_does_not_tell_is_believed(tmp_path):
    assert machine.read_memory(tmp_path / "gone") is None
    assert machine.memory(100, None).grade is Grade.OK


@given(st.integers(0, 2**40), st.integers(0, 2**40))
def test_what_is_free_is_read_from_what_linux_tells(free, swap):
    text = f"MemTotal: 1 kB\nMemAvailable:   {free} kB\nSwapFree: {swap} kB\n"

    assert machine.parse_memory(text) == Memory(free * 1024, swap * 1024)


@given(st.text())
def test_any_text_of_memory_is_read_or_left(text):
    machine.parse_memory(text)
