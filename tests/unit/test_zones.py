"""Time zones by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.zones import time_zone


@pytest.mark.parametrize(
    "name",
    ["x/y", "", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "a." * 5000 + "/b", "a" * 9000],
    ids=lambda name: name[:16],
)
def test_an_unknown_time_zone_is_a_value_error(name):
    """Every door converts what its third party raises."""
    with pytest.raises(ValueError, match="unknown time zone"):
        time_zone(name)


@given(st.text())
def test_any_name_is_a_zone_or_refused(name):
    """Names come out of rule files."""
    try:
        assert time_zone(name).key == name
    except ValueError as refusal:
        assert "unknown time zone" in str(refusal)  # noqa: PT017  it need not fail
