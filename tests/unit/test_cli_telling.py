"""Events in a few words."""

import pytest

from imbot.admin.telling import told
from imbot.model import EventKind
from tests.unit.store_samples import event


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("state", {}, "Talking"),
        ("idle", {"idle": 300.0}, "5m"),
        ("calendar", {"calendar": "support", "edge": "opens"}, "support opens"),
        (
            "calendar",
            {"calendar": "c", "edge": "closes", "offset_s": -600},
            "c closes, 10m before it",
        ),
        ("schedule", {"schedule": "0 9 * * * UTC run_once"}, "0 9 * * * UTC run_once"),
        ("webhook", {"name": "news", "body": {"n": 1}}, "news {n: 1}"),
        ("connection", {"change": "gap"}, "gap, 0.0 s"),
        ("connection", {"change": "lost", "seconds": 2, "reason": "reset"}, "lost, 2.0 s: reset"),
    ],
)
def test_what_happened_stands_on_a_line(kind, fields, words):
    """A story is read line by line."""
    assert told(event(kind=EventKind(kind), **fields)) == words
