"""Every mistake in a condition: its place, its reason and its cure."""

import pytest

from imbot.rulebook.scope import Known, Names
from imbot.rulebook.syntax import Source
from imbot.rulebook.typecheck import Checker
from tests.unit.rule_language import KNOWN, NAMES, expression, place, problems_of


@pytest.mark.parametrize(
    ("source", "column", "code", "text"),
    [
        ('session.state = "Talking"', 14, "bad-expression", "use == to compare"),
        ('session.state === "Talking"', 14, "bad-expression", "use == to compare"),
        ('session.state <> "Talking"', 14, "bad-expression", "use !="),
        ("vars.limit => 1", 11, "bad-expression", "use >="),
        ("vars.limit =< 1", 11, "bad-expression", "use <="),
        ("session.mine && session.mine", 13, "bad-expression", "use and"),
        ("session.mine || session.mine", 13, "bad-expression", "use or"),
        ("!session.mine", 0, "bad-expression", "use not"),
        ("session.state == \u201cTalking\u201d", 17, "bad-expression", "use plain quotes"),
        ('session.state == "Talking', 17, "bad-expression", "unterminated string"),
        ("(session.mine", 0, "bad-expression", "was never closed"),
        ("session.mine)", 12, "bad-expression", "unmatched"),
        ("session.mine if session.mine", 0, "bad-expression", "expected 'else'"),
        ("", 0, "bad-expression", "empty condition"),
        ("  \n ", 0, "bad-expression", "empty condition"),
        ("{{ session.mine }}", 0, "misplaced-template", "not a template"),
        ('session.state == "{{ x }}"', 18, "misplaced-template", "not a template"),
        ("session.mine # why", 13, "bad-expression", "a comment"),
        ("session.mine is none", 13, "bad-expression", "use == or !="),
        ('session.state in "a" in "b"', 0, "bad-expression", "joined by and"),
        ("1 + 2", 2, "bad-expression", "no arithmetic"),
        ("~session.mine", 0, "bad-expression", "no arithmetic"),
        ("-session.mine", 0, "bad-expression", "no arithmetic"),
        ("session.state | lower", 14, "bad-expression", "filters belong in templates"),
        ("message.text.lower()", 13, "bad-expression", "write lower(…)"),
        ('lower(text="a")', 11, "bad-expression", "no named arguments"),
        ("(lower)(1)(2)", 0, "bad-expression", "only functions can be called"),
        ("lambda: 1", 0, "bad-expression", "listed functions"),
        ("[x for x in vars.parts]", 0, "bad-expression", "any_of()"),
        ("{1: 2}", 0, "bad-expression", "a map"),
        ("{1}", 0, "bad-expression", "a set"),
        ('f"{session.id}"', 0, "bad-expression", "only templates make text"),
        ("(x := 1)", 1, "bad-expression", "an assignment"),
        ("message.text[1:2]", 13, "bad-expression", "a slice"),
        ("lower(*vars.parts)", 6, "bad-expression", "one by one"),
        ("await x", 0, "bad-expression", ""),
        ("b'x' == 1", 0, "bad-expression", "write text or a number"),
        ("vars.limit == 1j", 14, "bad-expression", "write text or a number"),
        ("vars.limit == 99999999999999999", 14, "bad-expression", "too large"),
        ("vars.limit == 1e999", 14, "bad-expression", "too large"),
        ("vars.limit == -99999999999999999", 14, "bad-expression", "too large"),
        ("1" * 5000, 0, "bad-expression", "longer than 2048"),
        ("sesion.state", 0, "unknown-name", "did you mean 'session'?"),
        ("session.state == Talking", 17, "unknown-name", 'text stands in quotes: "Talking"'),
        ("now > session.started_at", 0, "unknown-name", "call it: now(…)"),
        ("event.idle > 5", 6, "unknown-field", "only a trigger of kind idle"),
        ("session.userDta.x", 8, "unknown-field", "did you mean 'userData'?"),
        ("session['userDta'].x", 8, "unknown-field", "did you mean 'userData'?"),
        ("session.userData.x.y", 19, "unknown-field", "nothing below it"),
        ("session.participants.digits", 21, "unknown-field", "session.participants[0]"),
        ("session.participants['0']", 21, "unknown-field", "is a list"),
        ("session.participants[true]", 21, "unknown-field", "is a list"),
        ("session.participants[session.id]", 21, "unknown-field", "has no item"),
        ("session.id[vars.limit]", 11, "unknown-field", "has no item"),
        ("vars.parts[sesion.x]", 11, "unknown-name", "did you mean 'session'?"),
        ("open(opn(1))", 5, "unknown-function", "did you mean 'open'?"),
        ("vars.nope", 5, "unknown-field", "no field 'nope'"),
        ("lenght(message.text)", 0, "unknown-function", "did you mean 'len'?"),
        ("int(message.text)", 0, "unknown-function", "did you mean 'number'?"),
        ("frobnicate(1)", 0, "unknown-function", "known: age"),
        ("any_of()", 0, "bad-call", "takes conditions"),
        ("contains(message.text)", 0, "bad-call", "takes 2 arguments, not 1"),
        ("now(1)", 0, "bad-call", "takes 0 arguments, not 1"),
        ("lower(5)", 6, "bad-call", 'write it in quotes: "5"'),
        ("age(message.text)", 4, "bad-call", "takes a moment"),
        ("can(message.text)", 4, "not-literal", "known at load"),
        ("session.userData.get('x')", 17, "bad-expression", "write […] behind the value"),
        ("{{ session.mine }}", 0, "misplaced-template", "write it without {{ and }}: session.mine"),
        ("{% if x %}", 0, "misplaced-template", "write it without {{ and }}"),
        ("any_of(session.mine", 6, "bad-expression", "quotes around the whole condition"),
        ("session.mine)", 12, "bad-expression", "quotes around the whole condition"),
        ('event.age > "5m"', 12, "impossible-comparison", 'duration("5m")'),
        ('event.age > "five"', 12, "impossible-comparison", "without quotes"),
        ("session.state == zzz", 17, "unknown-name", "text stands in quotes"),
        ('can("SendMesage")', 4, "unknown-capability", "did you mean 'SendMessage'?"),
        ('open("suport")', 5, "unknown-calendar", "did you mean 'support'?"),
        ("open(vars.gold)", 5, "unknown-calendar", "'gold'"),
        ("open(vars.limit)", 5, "bad-call", "takes text"),
        ('once_done("gret")', 10, "unknown-rule", "did you mean 'greet'?"),
        ('duration("5 min")', 9, "bad-duration", "did you mean '5m'?"),
        ('matches(message.text, "a(?=b)")', 22, "bad-pattern", "no lookahead"),
        ('matches(message.text, "(a)\\\\1")', 22, "bad-pattern", "no backreferences"),
        ('matches(message.text, "(a")', 22, "bad-pattern", "missing )"),
        ('secret("CRM")', 0, "misplaced-secret", "only in http"),
        ('session.state == "Taking"', 17, "impossible-comparison", "did you mean 'Talking'?"),
        ('"Taking" == session.state', 0, "impossible-comparison", "did you mean 'Talking'?"),
        ('session.state in ["Taking"]', 18, "impossible-comparison", "did you mean 'Talking'?"),
        ('"Send" in session.capabilities', 0, "impossible-comparison", "no capability"),
        ('event.kind == "mesage"', 14, "impossible-comparison", "did you mean 'message'?"),
        ("session.userData.age > 5", 23, "impossible-comparison", "number(session.userData.age)"),
        ("session.userData.age == 5", 24, "impossible-comparison", "number(session.userData.age)"),
        (
            "session.userData.age in [5]",
            25,
            "impossible-comparison",
            "number(session.userData.age)",
        ),
        ("session.started_at > 5", 21, "impossible-comparison", "age(session.started_at)"),
        ('session.mine == "yes"', 16, "impossible-comparison", "use not"),
        ("session.mine > false", 0, "impossible-comparison", "no order"),
        ("message.text == session.started_at", 16, "impossible-comparison", "never compare"),
        ("session.state == event.kind", 17, "impossible-comparison", "a kind of event"),
        ("5 in message.text", 0, "impossible-comparison", "only text"),
        ("message.text in 5", 16, "impossible-comparison", "nothing can be in it"),
        ("5 in session.capabilities", 0, "impossible-comparison", "never compare"),
        ('session.state == "Talking" or "Alerting"', 30, "constant-condition", "by itself"),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_cure(source, column, code, text):
    """Section 9: a mistake must be found at load, where it stands, with what would be right."""
    (problem,) = problems_of(source)

    assert (problem.place, problem.code) == (
        place(0, column) if "\n" not in source else problem.place,
        code,
    )
    assert text in f"{problem.what}; {problem.cure}"


def test_every_mistake_is_reported_at_once_and_on_its_line():
    """An author should not have to check five times for five mistakes."""
    found = problems_of('sesion.state == "a"\n  and sate == 1\nand open("x")')

    assert [(each.place.line, each.place.column) for each in found] == [
        (10, 20),
        (11, 26),
        (12, 29),
    ]


def test_places_count_characters_not_bytes():
    """Columns must be right behind an umlaut."""
    (problem,) = problems_of('message.text == "äöü" and sesion')

    assert problem.place == place(0, 26)


def test_a_name_that_other_triggers_supply_says_which():
    """The commonest cause of an unknown name is the wrong trigger."""
    (problem,) = problems_of("message.text", Names.for_trigger(frozenset({"state"})))

    assert str(problem).endswith("supplies 'message'; only a trigger of kind message does")


def test_a_name_that_blocks_do_not_see_says_so():
    (problem,) = problems_of("message.text", Names.for_block({}))

    assert str(problem).endswith(
        "a block does not see 'message'; make it an input, and give it at the call"
    )


def test_functions_of_the_session_need_a_trigger_that_has_one():
    """A schedule has no session to ask about."""
    (problem,) = problems_of('said("x")', Names.for_trigger(frozenset({"schedule"})))

    assert problem.code == "no-session"


def test_what_is_not_known_yet_is_not_checked():
    """A single expression may be checked before the rulebook is whole."""
    parsed = expression('open("x") and once_done("y")', known=Known(calendars=None, rules=None))

    assert parsed.names_used == {"session"}
    assert parsed.secrets_used == frozenset()


def test_a_checked_tree_stays_as_it_is():
    """Checking twice is harmless."""
    tree = expression("lower(message.text) == session.state").tree

    assert Checker(Source("", place), NAMES, KNOWN).check(tree)[0] == tree
