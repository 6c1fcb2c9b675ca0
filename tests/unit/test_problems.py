"""Mistakes as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.problems import (
    UNQUOTED,
    UNUSED,
    Place,
    Problem,
    Severity,
    annotation,
    did_you_mean,
    first_causes,
    nearest,
)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (Place("imbot.yaml", 3, 7), "imbot.yaml:3:7"),
        (Place("environment IMBOT_X"), "environment IMBOT_X"),
    ],
)
def test_a_place_says_as_much_as_is_known(place, text):
    """Editors jump to path:line:col."""
    assert str(place) == text


def test_a_problem_says_where_what_and_what_would_be_right():
    """On one line, without an empty cure."""
    place = Place("a.yaml", 1, 2)

    assert str(Problem(place, "code", "what", "cure")) == "a.yaml:1:2: error[code]: what; cure"
    assert str(Problem(place, "code", "what", severity=Severity.WARNING)) == (
        "a.yaml:1:2: warning[code]: what"
    )


def test_places_sort_as_the_lines_of_a_file():
    """Line 10 comes after line 9."""
    places = [Place("b", 1, 1), Place("a", 10, 1), Place("a", 9, 5), Place("a", 9, 2)]

    assert [str(place) for place in sorted(places)] == ["a:9:2", "a:9:5", "a:10:1", "b:1:1"]


@pytest.mark.parametrize(
    ("word", "cure"),
    [
        ("trigerr", "did you mean 'trigger'?"),
        ("WHEN", "did you mean 'when'?"),
        ("zzz", "known: do, trigger, when"),
    ],
)
def test_the_nearest_right_word_or_else_all_of_them(word, cure):
    """Capitals are no difference."""
    assert did_you_mean(word, {"trigger", "when", "do"}) == cure


def test_without_known_words_there_is_no_cure():
    """An empty list would read as one."""
    assert did_you_mean("a", []) == ""


@given(st.text(max_size=12), st.lists(st.text(max_size=8), max_size=5))
def test_what_is_meant_is_always_a_known_word(word, known):
    """And a word that is known is meant itself."""
    assert nearest(word, known) in {None, *known}
    if word in known and word:
        assert nearest(word, known).casefold() == word.casefold()


def test_the_word_of_another_language_is_known_before_the_nearest():
    """Else "on" would mean "once"."""
    elsewhere = {"on": "trigger", "if": "when"}

    assert did_you_mean("On", {"once", "trigger"}, elsewhere=elsewhere) == "did you mean 'trigger'?"
    assert nearest("if", {"once", "trigger"}, elsewhere=elsewhere) is None
    assert nearest("on", {"on", "trigger"}, elsewhere=elsewhere) == "on"


def test_what_only_follows_from_another_mistake_is_left_out():
    """Each line that is no mistake of its own sends its reader the wrong way."""
    here, there = Place("f", 1, 1), Place("f", 2, 1)

    def kept(*given):
        problems = [
            Problem(
                place, code, "", severity=Severity.WARNING if code == UNUSED else Severity.ERROR
            )
            for place, code in given
        ]
        return [(each.place, each.code) for each in first_causes(problems)]

    assert kept((here, "yaml-alias"), (here, "wrong-type")) == [(here, "yaml-alias")]
    assert kept((here, UNQUOTED), (here, "bad-template")) == [(here, "bad-template")]
    assert kept((here, UNQUOTED), (there, "bad-template")) == [
        (here, UNQUOTED),
        (there, "bad-template"),
    ]
    assert kept((here, UNUSED)) == [(here, UNUSED)]
    assert kept((here, UNUSED), (there, "unknown-field")) == [(there, "unknown-field")]


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202egnp", r"\u202egnp"),
        ("\ud800", r"\ud800"),
        ("ä 🤦🏽‍♂️", "ä 🤦🏽‍♂️"),
    ],
)
def test_a_problem_is_one_line_that_only_can_be_read(quoted, shown):
    """It quotes what stands in a file; that may not end the line or steer the terminal."""
    problem = Problem(Place("a.yaml", 1, 2), "code", quoted, quoted)

    assert str(problem) == f"a.yaml:1:2: error[code]: {shown}; {shown}"


def test_an_annotation_is_one_line_whatever_is_in_it():
    """GitHub ends a property at a comma or colon, and a command at the end of a line."""
    place = Place("a,b:c%.yaml", 3, 7)

    assert annotation(place, "one\ntwo\r%0A", severity=Severity.WARNING, title="bad-key") == (
        "::warning file=a%2Cb%3Ac%25.yaml,line=3,col=7,title=bad-key::one%0Atwo%0D%250A"
    )
    assert annotation(Place("--set"), "no").startswith("::error file=--set,line=1,col=1::")
    assert Problem(place, "bad-key", "no", "yes").annotation.endswith("title=bad-key::no; yes")
