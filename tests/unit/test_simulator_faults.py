"""Fault knobs: when they strike, for whom, how often."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imbot.simulator.faults import FaultBox, FaultKind, Faults, Knob

KIND = FaultKind.NO_ECHO


def box(**knobs):
    return FaultBox(Faults(**knobs), Random(1))  # noqa: S311 - reproducible


def test_every_knob_has_its_kind_and_every_kind_its_knob():
    """A knob without a kind would be accepted and never strike."""
    knobs = {name for name, value in Faults() if isinstance(value, Knob)}

    assert knobs == {kind.value for kind in FaultKind}


def test_every_field_says_what_it_does():
    """The guide and the control API show these lines."""
    assert all(field.description for field in Faults.model_fields.values())


def test_the_guide_tells_every_field_as_the_code_does():
    """A knob that the page does not name is found by nobody."""
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "simulator.md").read_text()
    rows = [line for line in guide.splitlines() if line.startswith("| `")]

    for name, field in Faults.model_fields.items():
        assert any(
            row.startswith(f"| `{name}` |") and row.endswith(f"| {field.description} |")
            for row in rows
        )


@pytest.mark.parametrize(
    ("spelt", "knob"),
    [(True, Knob(probability=1)), (0.25, Knob(probability=0.25)), ({"next": 2}, Knob(next=2))],
)
def test_a_knob_may_be_written_short(spelt, knob):
    assert Faults(no_echo=spelt).no_echo == knob


@pytest.mark.parametrize("bad", [1.5, -0.1, {"next": -1}, {"nxt": 1}, "often", None])
def test_a_knob_that_makes_no_sense_is_refused(bad):
    with pytest.raises(ValidationError):
        Faults(no_echo=bad)


def test_next_strikes_so_many_times_and_no_more():
    faults = box(no_echo={"next": 2})

    assert [faults.strikes(KIND) for _ in range(4)] == [True, True, False, False]
    assert faults.struck == {KIND: 2}


def test_a_knob_limited_to_requests_spares_the_others():
    """A count must not be used up by requests that it does not concern."""
    faults = box(no_echo={"next": 1, "only": ["SendMessage"]})

    assert not faults.strikes(KIND, name="Complete")
    assert faults.strikes(KIND, name="SendMessage")


def test_an_agents_own_faults_strike_it_alone_and_can_be_taken_away():
    faults = box()
    faults.replace(Faults(no_echo=True), "bot1")

    assert faults.strikes(KIND, "bot1")
    assert not faults.strikes(KIND, "bot2")
    assert faults.of("bot1").no_echo.probability == 1
    faults.replace(None, "bot1")
    assert not faults.strikes(KIND, "bot1")
    assert faults.of("bot1") == Faults()


def test_nothing_for_everybody_is_a_well_behaved_server():
    faults = box(no_echo=True)
    faults.replace(None)

    assert not faults.strikes(KIND)


def test_each_strike_is_told():
    """A test must be able to see which faults it survived."""
    told = []
    faults = box(no_echo=True)
    faults.on_strike = lambda *strike: told.append(strike)

    faults.strikes(KIND, "bot1", "SendMessage")

    assert told == [(KIND, "bot1", "SendMessage")]


@given(st.floats(0, 1), st.integers(0, 5), st.integers(0, 2**32))
def test_the_same_seed_strikes_alike_and_certainties_are_certain(probability, count, seed):
    """A failing run must be repeatable from its seed."""
    knob = {"probability": probability, "next": count}
    boxes = [
        FaultBox(Faults(no_echo=knob), Random(seed))  # noqa: S311 - reproducible
        for _ in range(2)
    ]
    runs = [[one.strikes(KIND) for _ in range(20)] for one in boxes]

    assert runs[0] == runs[1]
    assert all(runs[0][:count])
    if probability in {0, 1}:
        assert set(runs[0][count:]) == {bool(probability)}
