"""Rules of imbot/rulebook/stored.py and versions.py: a rule outlives its files."""

import json
from datetime import date
from pathlib import Path

import pytest

from imbot.errors import RulebookError
from imbot.rulebook.loader import RuleFile, load_rulebook
from imbot.rulebook.stored import compile_stored
from tests.unit.rulebooks import ACTIONS, SETTINGS, load, rule

CORRECT = sorted((Path(__file__).parents[1] / "data" / "correct").glob("*.yaml"))
TODAY = date(2027, 1, 1)
BOOK = """\
version: 1
vars: {word: %(word)s, unused: 1}
calendars:
  desk: {timezone: Europe/Berlin, open: {mon-fri: "%(open)s"}}
  other: {timezone: Europe/Berlin, open: {mon: "08:00-09:00"}}
blocks:
  inner: {do: [{log: "{{ vars.word }} %(inner)s"}]}
  outer:
    do:
      - call: {block: inner}
      - if: open("desk")
        then: [{log: x}]
  alone: {do: [{log: "%(alone)s"}]}
rules:
  - id: r
    description: %(description)s
    trigger: {message: any}
    do: [{call: {block: outer}}]
  - id: s
    trigger: {state: Talking}
    when: open("other") and vars.unused
    do: [{call: {block: alone}}]
"""
WORDS = {"word": "a", "open": "08:00-18:00", "inner": "b", "alone": "c", "description": "d"}


def first(text, **settings):
    """Return the rule at the head of the only file."""
    book, _ = load(text, **settings)
    return book.rules[0]


@pytest.mark.parametrize("path", CORRECT, ids=lambda path: path.stem)
def test_a_rule_compiled_again_is_the_same_rule(path):
    """A run that waits goes on with it, whatever its files say by now."""
    book, _ = load(path.read_text(), secrets=None, allowed_hosts=None)

    for old in book.rules:
        new = compile_stored(old.source, ACTIONS, today=TODAY)

        assert new.version == old.version
        assert [type(step) for step in steps_of(new)] == [type(step) for step in steps_of(old)]
        # No key of a file can stand above its first line.
        if old.place.line > 1:
            assert new.source == old.source
            assert new.place == old.place
            assert [place_of(step) for step in steps_of(new)] == [
                place_of(step) for step in steps_of(old)
            ]


def steps_of(rule):
    return rule.program.instructions


def place_of(step):
    return getattr(step, "place", None)


@pytest.mark.parametrize("changed", ["word", "open", "inner"])
def test_the_version_covers_constants_blocks_and_calendars(changed):
    assert first(BOOK % (WORDS | {changed: "08:00-12:00"})).version != first(BOOK % WORDS).version


@pytest.mark.parametrize("changed", ["alone", "description"])
def test_what_a_rule_does_not_use_leaves_its_version(changed):
    assert first(BOOK % (WORDS | {changed: "other"})).version == first(BOOK % WORDS).version


def test_a_rule_knows_the_calendars_that_it_asks_through_blocks():
    old = first(BOOK % WORDS)
    new = compile_stored(old.source, ACTIONS, today=TODAY)

    assert list(old.calendars) == list(new.calendars) == ["desk"]


def test_the_version_counts_the_zone_and_the_shadow_of_a_file():
    text = "version: 1\nrules:\n  - {id: r, trigger: {every: 1h}, do: [{log: x}]}\n"
    versions = {
        first(text).version,
        first(text, timezone="Europe/Vienna").version,
        first("shadow: true\n" + text).version,
    }

    assert len(versions) == 3
    dark = first("shadow: true\n" + text)
    assert dark.shadow
    assert compile_stored(dark.source, ACTIONS, today=TODAY).shadow


def test_what_a_calendar_reads_is_kept_with_the_rule():
    """The file may be gone when the run goes on."""
    ics = (
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261224\n"
        "DTEND;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR\n"
    )
    text = (
        "version: 1\ncalendars: {c: {timezone: UTC, open: {mon-sun: '08:00-18:00'}, ics: x.ics}}\n"
        "rules:\n  - {id: r, trigger: {calendar: c, opens: 0m after}, do: [{log: x}]}\n"
    )
    book, problems = load_rulebook(
        [RuleFile("f.yaml", text, {"x.ics": ics}.get)], ACTIONS, **SETTINGS
    )
    assert book is not None, problems
    old = book.rules[0]

    new = compile_stored(old.source, ACTIONS, today=TODAY)

    assert new.version == old.version
    assert new.calendars["c"].slots_of(date(2026, 12, 24)) == ()
    assert new.calendars["c"].slots_of(date(2026, 12, 23)) != ()


def test_another_rule_may_be_gone():
    text = (
        "version: 1\nrules:\n"
        "  - {id: r, trigger: {message: any}, when: once_done('s'), do: [{log: x}]}\n"
        "  - {id: s, trigger: {state: Talking}, do: [{log: x}]}\n"
    )

    assert compile_stored(first(text).source, ACTIONS, today=TODAY).id == "r"


def test_a_rule_whose_action_is_gone_is_refused():
    source = rule("    do: [{reply: Hello}]\n").source

    with pytest.raises(RulebookError, match="unknown action 'reply'"):
        compile_stored(source, {}, today=TODAY)


def test_the_source_is_a_document_of_what_the_rule_uses():
    document = json.loads(first(BOOK % WORDS).source)

    assert (document["timezone"], document["country"]) == ("Europe/Berlin", "DE")
    assert [(piece["path"], piece["line"]) for piece in document["pieces"]] == [
        ("f.yaml", 15),
        ("f.yaml", 7),
        ("f.yaml", 8),
        ("f.yaml", 4),
    ]
    assert document["pieces"][1]["text"].startswith("blocks:\n  inner: {do:")


def test_text_that_keeps_its_line_ends_stays_the_same():
    text = "    do:\n      - log: |+\n          a\n\n"
    old = rule(text)

    assert compile_stored(old.source, ACTIONS, today=TODAY).version == old.version


@pytest.mark.parametrize("head", ["|", "|-", "|+", ">", ">-", ">+"])
@pytest.mark.parametrize("end", ["", " ", "\n", "\n  ", "\n\n", "\n             ", " \n# c\n"])
@pytest.mark.parametrize("constants", ["", "vars: {a: x}\n"])
def test_a_block_of_text_is_the_same_wherever_the_file_ends(head, end, constants):
    """What ends a block, a blank at its end or none, is a part of what is said."""
    said = "{{ vars.a }}" if constants else "Hello"
    old = first(
        f"version: 1\n{constants}rules:\n  - id: a\n    trigger: {{message: any}}\n"
        f"    do:\n      - reply: {head}\n          {said}\n          there{end}"
    )

    assert compile_stored(old.source, ACTIONS, today=TODAY).version == old.version
