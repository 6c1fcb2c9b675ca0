"""What commands print, and how they tell of events, whatever text comes from outside."""

import io
import json
import sys
from datetime import UTC, datetime
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.admin.telling import arguments, changes, cut, quoted, told, value
from imbot.cli.output import complain, has_colours, one_line, painted, print_problems, print_table
from imbot.model import EventKind
from imbot.problems import Place, Problem
from tests.unit.store_samples import event

AT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Word(Enum):
    ONE = "one"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@given(st.text())
def test_no_text_can_steer_the_terminal(text):
    """Names, messages and error texts come from anywhere."""
    shown = one_line(text)

    assert shown.isprintable()
    assert one_line(shown) == shown


def test_what_is_printable_stays():
    assert one_line("Grüße “42” → 世界") == "Grüße “42” → 世界"
    assert one_line("a\x1b[31m\tb\r\n\u202ec") == "a\\x1b[31m\\tb\\r\\n\\u202ec"


def test_piped_rows_are_tab_separated_and_json_rows_are_objects(capsys):
    row = ("a\tb", 3, None, AT, ("x", "y"), Word.ONE)
    columns = ("text", "number", "nothing", "moment", "texts", "word")

    print_table("T", columns, [row], as_json=False)
    head, line = capsys.readouterr().out.splitlines()
    assert head.split("\t") == list(columns)
    assert line.split("\t") == [
        *("a\\tb", "3", "", f"{AT.astimezone():%Y-%m-%d %H:%M:%S}", "x; y", "one"),
    ]

    print_table("T", columns, [row], as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "text": "a\tb",
        "number": 3,
        "nothing": None,
        "moment": "2026-03-02T08:00:00+00:00",
        "texts": ["x", "y"],
        "word": "Word.ONE",
    }


def test_a_terminal_gets_a_table_that_nothing_decorates(monkeypatch):
    """Rich would colour numbers, and take brackets for its own marks."""
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "80")

    print_table("Title", ("a", "b"), [("[bold]x[/]", 42)], as_json=False)

    shown = terminal.getvalue()
    assert "Title" in shown
    assert "[bold]x[/]" in shown


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    """See no-color.org."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert not has_colours(io.StringIO())
    assert has_colours(Terminal())

    monkeypatch.setattr("sys.stdout", Terminal())
    assert painted("x", "red") == "\x1b[31mx\x1b[0m"
    assert painted("x", "") == "x"
    monkeypatch.setenv("NO_COLOR", "")
    assert painted("x", "red") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert painted("x", "red") == "x"


def test_problems_stand_on_a_line_each_and_complaints_go_to_the_other_stream(capsys):
    problem = Problem(Place("a\nb.yaml", 1, 2), "code", "what", "cure")

    print_problems([problem])
    print_problems([problem], to_stderr=True)
    complain("no\nway")

    out, err = capsys.readouterr()
    assert out == "a\\nb.yaml:1:2: error[code]: what; cure\n"
    assert err == out + "imbot: no\\nway\n"
    assert sys.stdout is not sys.stderr


# Events in words ------------------------------------------------------------------------------


def test_each_kind_of_event_is_told():
    assert told(event(kind=EventKind.STATE)) == "Talking"
    assert told(event(kind=EventKind.STATE, session_id=None)) == ""
    assert told(event(kind=EventKind.MESSAGE, text="hi")) == "“hi”"
    gap = {"change": "gap", "seconds": 2.0, "reason": "a poll was lost"}
    assert told(event(kind=EventKind.CONNECTION, **gap)) == "gap, 2.0 s: a poll was lost"
    assert told(event(kind=EventKind.CONNECTION, **gap | {"reason": ""})) == "gap, 2.0 s"


def test_user_data_is_told_as_it_changed_and_marks_are_left_out():
    changed = {
        "new": {"new": "a"},
        "other": {"old": "a", "new": "b"},
        "gone": {"old": "a"},
        "empty": {"old": "a", "new": ""},
        "imbot.auto.x.bot1": {"new": "1"},
    }

    assert changes(changed) == 'new: a, other: a → b, gone: a → removed, empty: a → ""'


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ({"text": "hi", "to": None}, "“hi”"),
        ("goodbye", "“goodbye”"),
        ({"greeted": "yes", "n": 1}, "greeted: yes, n: 1"),
        (["a", "b"], "[a, b]"),
        ({"json": {"a": [True, None]}}, "json: {a: [true, None]}"),
        ({}, ""),
        ({"text": "hi", "more": ""}, 'text: hi, more: ""'),
    ],
)
def test_arguments_are_told_as_their_author_wrote_them(given_, shown):
    assert arguments(given_) == shown


@given(st.text(), st.integers(-1, 20))
def test_cut_text_fits(text, width):
    assert len(cut(text, width)) <= max(width, 1)
    assert len(quoted(text * 10)) <= 92
    assert len(value({"key": [text] * 50})) <= 90
