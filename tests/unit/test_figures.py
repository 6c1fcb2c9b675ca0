"""Figures: what is counted comes out as prometheus_client itself would show it."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from imbot.admin.figures import Spreads, Sums

BOUNDS = (0.5, 1.0, 2.5)
WORDS = st.sampled_from(["a", 'b\n"c'])


def text(*collectors):
    """Return what Prometheus is told, without when each was begun."""
    shown = CollectorRegistry()
    for each in collectors:
        shown.register(each)
    return [
        line for line in generate_latest(shown).decode().splitlines() if "_created" not in line
    ]


@given(st.lists(st.tuples(WORDS, WORDS)))
def test_a_counter_is_shown_as_any_other(counted):
    ours = Sums("x", "Told.", ("one", "other"))
    theirs = Counter("x", "Told.", ("one", "other"), registry=None)
    for labels in counted:
        ours.of[labels] += 1
        theirs.labels(*labels).inc()

    assert text(ours) == text(theirs)


@given(st.lists(st.tuples(WORDS, st.sampled_from([0.0, 0.5, 0.7, 1.0, 2.5, 3.0]))))
def test_a_histogram_is_shown_as_any_other(measured):
    """A duration as long as a bound is in the bucket of that bound."""
    ours = Spreads("x", "Told.", ("one",), bounds=BOUNDS)
    theirs = Histogram("x", "Told.", ("one",), buckets=BOUNDS, registry=None)
    for label, seconds in measured:
        ours.add((label,), seconds)
        theirs.labels(label).observe(seconds)

    assert text(ours) == text(theirs)


def test_what_has_no_labels_is_there_before_anything_was_counted():
    """What first shows as 1 is no increase, and no alert fires."""
    theirs = (
        Counter("x", "Told.", registry=None),
        Histogram("y", "Told.", buckets=BOUNDS, registry=None),
    )

    assert text(Sums("x", "Told."), Spreads("y", "Told.", bounds=BOUNDS)) == text(*theirs)
