"""Templates: what they give, what is wrong with them, and that nothing in them can grow."""

import tracemalloc
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import PermanentError
from imbot.problems import Place, Severity
from imbot.rulebook.calendarreading import parse_calendar
from imbot.rulebook.scope import Known, Names
from imbot.rulebook.templates import parse_template
from tests.unit.rule_language import PlainSenses

NAMES = (
    Names.for_trigger(frozenset({"state", "message"}))
    .with_vars({"cal": "support", "limit": 5, "zone": "Asia/Tokyo"})
    .bind("crm")
)
KNOWN = Known(calendars=frozenset({"support"}), secrets=frozenset({"CRM"}))
SUPPORT, _ = parse_calendar(
    "support",
    {"timezone": "Europe/Berlin", "open": {"mon-fri": "09:00-17:00"}},
    lambda _: Place("r.yaml"),
    today=date(2026, 3, 1),
)
SENSES = PlainSenses(calendars={"support": SUPPORT}, secrets={"CRM": "hunter2"})
SCOPE = {
    "session": {
        "id": "s1",
        "state": "Talking",
        "userData": {"tier": "gold", "empty": ""},
        "started_at": datetime(2026, 3, 2, 7, 50, tzinfo=UTC),
        "mine": True,
    },
    "participant": {"phoneNumber": "3002", "digits": "03012345678"},
    "bot": {"nickname": "Robin"},
    "message": {"text": "my {{ 7*7 }} {% raw %}"},
    "vars": {"cal": "support", "limit": 5, "zone": "Asia/Tokyo"},
    "crm": {
        "list": ["a", 1, None],
        "words": ["one", "two"],
        "map": {"k": "v", "at": datetime(2026, 3, 2, tzinfo=UTC)},
        "none": None,
        "long": "word " * 60,
        "nan": float("nan"),
        "huge": "x" * 60_000,
        "never": datetime(1, 1, 1, tzinfo=UTC),
        "flag": False,
        "weird": {1, 2},
    },
}


def place(line, column):
    return Place("r.yaml", 10 + line, 20 + column)


def template(source, *, allow_secrets=False):
    parsed, problems = parse_template(source, place, NAMES, KNOWN, allow_secrets=allow_secrets)
    assert parsed is not None, [str(problem) for problem in problems]
    assert problems == ()
    return parsed


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("Hello", "Hello"),
        ("a }} b", "a }} b"),
        (
            "Hello {{ participant.phoneNumber }}, I am {{ bot.nickname }}.",
            "Hello 3002, I am Robin.",
        ),
        ("{{ message.text }}!", "my {{ 7*7 }} {% raw %}!"),
        ("{{ crm.words }}", ["one", "two"]),
        (" {{ vars.limit }}\n", 5),
        ("{{ crm.none }}", None),
        ("{{ session.mine }} {{ vars.limit }} {{ now() }}", "true 5 2026-03-02T08:00:00+00:00"),
        ("{{ crm.flag }}!", "false!"),
        ("a {#- comment {{ x #} {{- session.id -}} \n b", "as1b"),
        ("{# only a comment #}", ""),
        ("a\r\nb {{ session.id }}", "a\nb s1"),
        ("{{ 'a' 'b' }}{{ '}}' }}", "ab}}"),
        ("{{ true }}", True),
        ("{{ -2.5 }}", -2.5),
        ("{{ [1, session.id] }}", [1, "s1"]),
        ("{{ (1, 2) | length }}", 2),
        ("{{ crm['map']['k'] }}", "v"),
        ("{{ crm.words[0] }} {{ crm.words[-1] }}", "one two"),
        ("{{ crm.list[vars.limit] | default('-') }}", "-"),
        ("{{ 'yes' if session.state == 'Talking' else 'no' }}", "yes"),
        ("{{ 'yes' if session.state not in ['Talking'] else 'no' }}", "no"),
        ("{{ not session.mine or session.state != 'Talking' and true }}", False),
        ("{{ 1 < vars.limit <= 5 }}", True),
        ("{{ any_of(session.mine, crm.flag) }}", True),
        ("{{ lower(session.state) }}{{ lower(text='A') }}", "talkinga"),
        ("{{ session.userData.topic is defined }}", False),
        ("{{ session.userData.topic is not defined }}", True),
        ("{{ session.userData.topic is undefined }}", True),
        ("{{ crm.none is none }}", True),
        ("{{ session.userData.topic | default('none') }}", "none"),
        ("{{ session.userData.empty | default('none') }}", ""),
        ("{{ session.userData.empty | default('none', true) }}", "none"),
        ("{{ session.userData.empty | default('none', boolean=true) }}", "none"),
        ("{{ crm.absent.deep[0] | default }}", ""),
        ("{{ crm.absent | upper | default('x') }}", "x"),
        ("{{ crm.absent | default(session.userData.tier) }}", "gold"),
        ("{{ next_open('support') | localtime('support') }}", "2026-03-03 09:00"),
        ("{{ next_open(vars.cal) | localtime(vars.zone, '%H:%M') }}", "17:00"),
        ("{{ now() | localtime }}", "2026-03-02 09:00"),
        ("{{ now() | localtime('America/New_York', format='%-d.%m. %I%%') }}", "2.03. 03%"),
        ("{{ next_open('support') | isoformat }}", "2026-03-03T08:00:00+00:00"),
        (
            "{{ next_open('support') | localtime('support') | isoformat }}",
            "2026-03-03T09:00:00+01:00",
        ),
        ("{{ now() | localtime | isoformat }}", "2026-03-02T08:00:00+00:00"),
        ("{{ participant.digits | e164 }}", "+493012345678"),
        ("{{ participant.digits | e164(country='AT') | default('?') }}", "?"),
        ("{{ '+1 555 0100' | e164 }}", "+15550100"),
        ("{{ participant.phoneNumber | e164 | default('?') }}", "?"),
        ("{{ 'words' | e164 | default('?') }}", "?"),
        ("{{ participant.digits | mask }}", "*******5678"),
        ("{{ participant.digits | mask(2) }}", "*********78"),
        ("{{ '123' | mask }}", "**3"),
        ("{{ crm.long | truncate(12) }}", "word..."),
        ("{{ crm.long | truncate(12, true, '-') }}", "word word w-"),
        ("{{ 'abc' | truncate(3) }}{{ 'abcd' | truncate(2) }}", "abc.."),
        ("{{ 'aB' | lower }}{{ 'aB' | upper }}{{ vars.limit | upper }}", "abAB5"),
        ('{{ "don\'t STOP-me now" | title }}', "Don't Stop-Me Now"),
        ("{{ ' a ' | trim }}", "a"),
        ("{{ 'aXbX' | replace('X', 1) }}", "a1b1"),
        ("{{ crm.words | join(', ') }} {{ crm.words | join }}", "one, two onetwo"),
        ("{{ crm.words | first }} {{ crm.words | last }}", "one two"),
        ("{{ 'abc' | first }} {{ 'abc' | last }}", "a c"),
        ("{{ [] | first | default('-') }}{{ '' | last | default('-') }}", "--"),
        ("{{ crm.map | length }}", 2),
        ("{{ crm.map | tojson }}", '{"k": "v", "at": "2026-03-02T00:00:00+00:00"}'),
        ("{{ crm.list | tojson }} ä", '["a", 1, null] ä'),
    ],
)
def test_a_template_gives(source, value):
    """Section 4: one whole hole keeps its type, all else is text; data is never a template."""
    parsed = template(source)

    assert parsed.render(SCOPE, SENSES) == value
    assert type(parsed.render(SCOPE, SENSES)) is type(value)


@pytest.mark.parametrize(
    ("source", "column", "text"),
    [
        ("{{ session.userData.topic }}", 3, "session.userData.topic is missing; use default('…')"),
        ("ab {{ crm.absent | upper }}", 6, "crm.absent is missing"),
        ("{{ crm.list[7] }}", 3, "crm.list[7] is missing"),
        ("{{ [1][7] }}", 6, "an item of a value is missing"),
        ("{{ crm[session.id] }}", 3, "an item of crm is missing"),
        ("{{ crm.absent | default(crm.gone) }}", 16, "crm.absent is missing"),
        ("{{ 'x' | e164 }}", 9, "what e164 gives is missing"),
        ("{{ 'a' if crm.absent else 'b' }}", 10, "crm.absent is missing"),
        ("{{ crm.absent == 1 }}", 3, "crm.absent is missing"),
        ("ok {{ session.id }} {{ crm.none }}", 23, "the value is none; use default('…', true)"),
        ("x {{ crm.words }}", 5, "use join, tojson"),
        ("{{ crm.words | upper }}", 15, "use join, tojson"),
        (
            "{{ session.id | default(crm.map) | length }}{{ crm.flag | length }}",
            58,
            "has no length",
        ),
        ("{{ crm.map | first }}", 13, "it is no list"),
        ("{{ crm.map | localtime }}", 13, "it is no moment"),
        ("{{ crm.never | localtime('America/New_York') }}", 15, "out of range"),
        ("{{ crm.long | truncate(crm.words) }}", 14, "that is no length"),
        ("{{ crm.long | truncate(99999) | mask(crm.nan) }}", 32, "that is no length"),
        ("{{ crm.nan | tojson }}", 13, "not JSON compliant"),
        ("{{ crm.huge }}", 3, "longer than 8192 bytes; use truncate"),
        ("{{ crm.huge | replace('x', 'yy') }}", 14, "longer than 65536 characters"),
        ("{{ crm.huge | replace('', 'y') }}", 14, "longer than 65536 characters"),
        ("{{ [crm.huge, crm.huge] | join }}", 26, "longer than 65536 characters"),
        ("{{ [crm.huge, crm.huge] | tojson }}", 26, "longer than 65536 characters"),
        ("{{ crm.words | join(crm.huge) }}", 15, "longer than 65536 characters"),
    ],
)
def test_what_cannot_be_rendered_fails_for_good_and_says_where(source, column, text):
    """A reply with a hole in it must never be sent."""
    with pytest.raises(PermanentError) as caught:
        template(source).render(SCOPE, SENSES)

    assert str(caught.value).startswith(f"{place(0, column)}: ")
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("source", "column", "code", "text"),
    [
        ("Hi {{ session.id", 3, "bad-template", "unclosed {{; close it with }}"),
        ("Hi {{ session.id } !", 3, "bad-template", "unclosed {{; close it with }}"),
        ("{{ a }} {{ b", 8, "bad-template", "unclosed {{"),
        ("{{ (session.id }}", 15, "bad-template", "expected ')'"),
        ("{# no end", 0, "bad-template", "close it with #}"),
        ("{% if x %}", 0, "bad-template", "no statements"),
        ("{% raw %}x{% endraw %}", 0, "bad-template", "no statements"),
        ("{{ }}", 3, "bad-template", "Expected an expression"),
        ("{{ session.state = 'a' }}", 17, "bad-template", "use == to compare"),
        ("{{ session.id ! }}", 14, "bad-template", "unexpected character '!'"),
        ("{{ 'x }}", 3, "bad-template", "a quote that does not end; close it with '"),
        ("{{ “x” }}", 3, "bad-template", "use plain quotes"),
        ("{{ session.id ~ 'a' }}", 14, "bad-template", "{{ a }}{{ b }}"),
        ("{{ session.id * 5 }}", 14, "bad-template", "no arithmetic"),
        ("{{ '%9999d' % 1 }}", 12, "bad-template", "no arithmetic"),
        ("{{ 9**(9**8) > 1 }}", 4, "bad-template", "no arithmetic"),
        ("{{ -vars.limit }}", 3, "bad-template", "no arithmetic"),
        ("{{ session.id[1:2] }}", 13, "bad-template", "no slices"),
        ("{{ {'a': 1} }}", 3, "bad-template", "map in YAML"),
        ("{{ 'a' if session.mine }}", 3, "bad-template", "add else"),
        ("{{ session.id.upper() }}", 14, "bad-template", "use | upper"),
        ("{{ '{}'.format(1) }}", 8, "bad-template", "use | format"),
        ("{{ crm.f()() }}", 10, "bad-template", "only functions"),
        ("{{ lower(*crm.words) }}", 3, "bad-template", "one by one"),
        ("{{ 'a' in 'b' in 'c' }}", 3, "bad-template", "joined by and"),
        ("{{ 99999999999999999999 }}", 3, "bad-template", "too large"),
        ("{{ 1e999 }}", 3, "bad-template", "too large"),
        ("{{ " + "1" * 5000 + " }}", 0, "bad-template", "no template that can be read"),
        ("{{ 1e9\u0665 }}", 0, "bad-template", "no template that can be read (invalid"),
        ("{{ " + "not " * 40 + "1 }}", 131, "bad-template", "nested deeper than 32"),
        ("{{ " + "(" * 3000 + " }}", 0, "bad-template", "no template that can be read"),
        ("{{ a }}" + "x" * 20_000, 0, "bad-template", "longer than 16384"),
        ("{{ sesion.id }}", 3, "unknown-name", "did you mean 'session'?"),
        ("{{ session . sate }}", 13, "unknown-field", "did you mean 'state'?"),
        ("{{ session['sate'] }}", 11, "unknown-field", "did you mean 'state'?"),
        ("{{ ''.__class__ }}", 6, "unknown-field", "nothing below it"),
        ("{{ session.__class__ }}", 11, "unknown-field", "no field"),
        ("{{ self }}", 3, "unknown-name", "unknown name 'self'"),
        ("{{ session.id | uper }}", 16, "unknown-filter", "did you mean 'upper'?"),
        ("{{ session | attr('x') }}", 13, "unknown-filter", "known: default"),
        ("{{ session.id is odd }}", 17, "unknown-test", "known: defined, none, undefined"),
        ("{{ range(9) }}", 3, "unknown-function", "unknown function 'range'"),
        ("{{ lower(txt='a') }}", 9, "bad-call", "did you mean 'text'?"),
        ("{{ any_of(x=1) }}", 3, "bad-call", "takes conditions"),
        ("{{ session.id | truncate(size=1) }}", 25, "bad-call", "no argument 'size'"),
        ("{{ session.id | truncate(1, length=2) }}", 28, "bad-call", "no argument 'length'"),
        ("{{ session.id | replace('a') }}", 16, "bad-call", "takes 2 arguments, not 1"),
        ("{{ session.id | lower(1) }}", 16, "bad-call", "takes 0 arguments, not 1"),
        ("{{ session.id | localtime }}", 3, "bad-call", "takes a moment as moment, not text"),
        ("{{ now() | localtime('Mars') }}", 21, "unknown-zone", "or such as Europe/Berlin"),
        ("{{ now() | localtime('suport') }}", 21, "unknown-zone", "did you mean 'support'?"),
        ("{{ now() | localtime('UTC', '%99d') }}", 28, "bad-format", "%Y-%m-%d"),
        ("{{ now() | localtime('UTC', session.id) }}", 28, "not-literal", "known at load"),
        ("{{ '1' | e164(country='Germany') }}", 22, "bad-country", "such as DE"),
        ("{{ secret('CRM') }}", 3, "misplaced-secret", "only in http"),
        ("{{ session.state == 'Taking' }}", 20, "impossible-comparison", "did you mean 'Talking'?"),
    ],
)
def test_a_mistake_in_a_template_is_reported_with_its_place(source, column, code, text):
    """Section 9: nothing that is written wrong reaches a customer."""
    parsed, (problem, *_) = parse_template(source, place, NAMES, KNOWN)

    assert parsed is None
    assert (problem.place, problem.code) == (place(0, column), code)
    assert text in f"{problem.what}; {problem.cure}"


def test_every_hole_is_checked_and_lines_are_right():
    """All mistakes at once, where they are."""
    _, problems = parse_template("a\n {{ x }}\n\n{{- y | z }}", place, NAMES, KNOWN)

    assert [(each.place.line, each.place.column) for each in problems] == [
        (11, 24),
        (13, 24),
        (13, 28),
    ]


def test_a_secret_is_rendered_only_where_it_is_allowed():
    """A secret in a reply would be told to the customer."""
    parsed = template("{{ secret('CRM') }}/x", allow_secrets=True)

    assert parsed.render(SCOPE, SENSES) == "hunter2/x"
    assert parsed.secrets_used == {"CRM"}


@pytest.mark.parametrize(("sure", "severity"), [(True, Severity.ERROR), (False, Severity.WARNING)])
def test_without_settings_an_unknown_secret_is_a_warning(sure, severity):
    """Rule files can be checked on a machine that has no secrets."""
    known = Known(secrets=frozenset(), secrets_are_all=sure)

    parsed, (problem,) = parse_template(
        "{{ secret('X') }}", place, NAMES, known, allow_secrets=True
    )

    assert (problem.severity, problem.code) == (severity, "unknown-secret")
    assert (parsed is None) == sure


def test_a_template_tells_what_it_looks_at():
    """The checker of a rulebook asks."""
    parsed = template("{{ crm.a }} {{ can('Complete') }} {{ bot.nickname | default(vars.cal) }}")

    assert parsed.names_used == {"crm", "session", "bot", "vars"}
    assert parsed.is_literal is False
    assert template("x").is_literal is True
    assert template("x").names_used == frozenset()


def test_zones_are_not_judged_before_the_calendars_are_known():
    """A single template may be checked before the rulebook is whole."""
    known = Known(calendars=None)

    parsed, problems = parse_template("{{ now() | localtime('support') }}", place, NAMES, known)

    assert problems == ()
    assert parsed.render(SCOPE, SENSES) == "2026-03-02 09:00"


@pytest.mark.parametrize(
    "bomb",
    [
        "{{ 'a'*10**9 }}",
        "{{ 'a' | center(10**9) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>1000000000}'.format('a') }}",
        "{{ crm.huge | indent(10000) }}",
        "{{ lipsum(n=100000) }}",
        "{{ range(10**9) | list }}",
        "{{ 10**(10**8) }}",
        "{{ 9**(9**8) > 1 }}",
        "{{ now() | localtime('UTC', format='%1000000000d') }}",
        "{{ crm.huge | replace('', crm.huge) }}",
        "{{ crm.huge | replace('x', crm.huge) | replace('x', crm.huge) }}",
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{{ " + "[" * 2000 + "]" * 2000 + " }}",
        "{{ crm.huge | mask(-99999999999) }}",
        "{{ [crm.huge, crm.huge, crm.huge] | tojson | tojson | tojson }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    ],
)
def test_a_bomb_does_not_go_off(bomb):
    """The sandbox of Jinja is no limit of resources; a short list of what exists is one."""
    tracemalloc.start()
    try:
        parsed, problems = parse_template(bomb, place, NAMES, KNOWN)
        if parsed is None:
            assert problems
        else:
            with pytest.raises(PermanentError):
                parsed.render(SCOPE, SENSES)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_deep_json_fails_the_step_and_not_the_process():
    """Nesting comes from outside."""
    deep = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(PermanentError, match="cannot be written as JSON"):
        template("{{ crm.deep | tojson }}").render({"crm": {"deep": deep}}, SENSES)


def test_only_plain_values_are_written():
    """What a plugin returns by mistake is shown as text, and never called."""
    assert template("{{ crm.weird | tojson }}").render(SCOPE, SENSES) == '"{1, 2}"'


@given(st.text(alphabet="{}%#-| session.id'()[]=~*\n\r,1ä", max_size=50) | st.text())
def test_any_text_is_a_template_or_a_list_of_mistakes(source):
    """Nothing but problems leaves the parser, and nothing but PermanentError the template."""
    parsed, problems = parse_template(source, place, NAMES, KNOWN)

    assert (parsed is None) == bool(problems)
    if parsed is not None:
        try:
            parsed.render(SCOPE, SENSES)
        except PermanentError as error:
            assert str(error).startswith("r.yaml:")  # noqa: PT017  it need not fail


@given(st.text())
def test_what_an_event_brings_is_never_a_template(said):
    """Rendering twice would let a customer write templates."""
    scope = {"message": {"text": said}}

    assert template("{{ message.text | default('') }}").render(scope, SENSES) == said
    assert template("<{{ message.text }}>").render(scope, SENSES) == f"<{said}>"


def test_one_hole_is_no_longer_than_a_condition():
    """Thousands of names between two braces would keep the checker busy for half a second."""
    source = "Hi {{ " + "x," * 1100 + " }}"

    parsed, problems = parse_template(source, place, NAMES, KNOWN)

    assert parsed is None
    assert [str(problem) for problem in problems] == [
        "r.yaml:10:23: error[bad-template]: {{ … }} longer than 2048 characters; split it"
    ]


def test_a_text_that_is_too_long_is_not_made_longer():
    """Four hundred long values would be 24 MB before anybody counted them."""
    rendered = []
    senses = PlainSenses(secrets={"CRM": "x" * 9000})
    senses.secret = lambda name: rendered.append(name) or "x" * 9000

    with pytest.raises(PermanentError, match="longer than 8192 bytes"):
        template("{{ secret('CRM') }} " * 3, allow_secrets=True).render(SCOPE, senses)

    assert rendered == ["CRM"]


@pytest.mark.parametrize("name", ["upper.trim", "upper . trim"])
def test_a_dotted_filter_is_unknown_however_it_is_spaced(name):
    """Jinja reads both as one name."""
    _, problems = parse_template(f"{{{{ bot.nickname | {name} }}}}", place, NAMES, KNOWN)

    assert str(problems[0]).startswith("r.yaml:10:38: error")
