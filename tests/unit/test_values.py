"""Rules of imbot/rulebook/values.py and origins.py: arguments that fit their action."""

import pytest
from pydantic import BaseModel, Field, RootModel

from imbot.errors import PermanentError
from imbot.plugin import action
from imbot.rulebook.origins import is_allowed
from tests.unit.rule_language import SCOPE, SENSES
from tests.unit.rulebooks import ACTIONS, load, steps


class Inner(BaseModel, extra="forbid"):
    size: int
    ratio: float = 1.0


class Pack(BaseModel, extra="forbid"):
    """Every kind of argument."""

    label: str
    inner: list[Inner] = Field(default_factory=list)
    flag: bool = False


class Short(RootModel[str | Pack]):
    """Text, or the long form."""


async def _nothing(_ctx, _args):
    """Do nothing."""


OWN = {
    **ACTIONS,
    "pack": action("pack", args=Pack)(_nothing),
    "short": action("short", args=Short)(_nothing),
}


def args(text):
    """Return the rendered arguments of the one step."""
    return steps(f"      - {text}\n", trigger="{message: any}", actions=OWN)[0].args.render(
        SCOPE, SENSES
    )


def mistakes(text):
    head = "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n    do:\n      - "
    _, problems = load(head + text + "\n", actions=OWN)
    return [line.partition(": error")[2] for line in problems]


@pytest.mark.parametrize(
    ("written", "rendered"),
    [
        ("reply: {text: hi, to: 3003}", {"text": "hi", "to": "3003"}),
        ("reply: {text: hi, to: +4930}", {"text": "hi", "to": "+4930"}),
        ("reply: 1.50", "1.50"),
        ("complete: 007", "007"),
        ("complete: 7", "7"),
        ("short: 1.50", "1.50"),
        ("short: {label: 0x1F}", {"label": "0x1F"}),
        ("pack: {label: 5, inner: [{size: 5, ratio: 1.50}]}",
         {"label": "5", "inner": [{"size": 5, "ratio": 1.5}]}),
        ("unset: [1.0, a]", ["1.0", "a"]),
        ("set: {a: 1.50, b: true, c: {d: 0x1F}, e: 'x'}",
         {"a": "1.50", "b": "true", "c": {"d": "0x1F"}, "e": "x"}),
        ("initiate: {to: 3003, agent: any, userData: {n: 007, f: false}}",
         {"to": "3003", "agent": "any", "userData": {"n": "007", "f": "false"}}),
        ("http: {put: 'https://a.example/', json: {n: 1.5, b: true, z: }, expect: [2xx, 409]}",
         {"put": "https://a.example/", "json": {"n": 1.5, "b": True, "z": None},
          "expect": ["2xx", 409]}),
        ("set: {a: '{{ session.id }}', b: ['x', '{{ session.mine }}'], c: 5}",
         {"a": "s1", "b": ["x", SCOPE["session"].get("mine")], "c": "5"}),
    ],
)  # fmt: skip
def test_where_text_is_due_a_number_is_taken_as_spelled(written, rendered):
    """A telephone number or a version written bare must not lose its sign, zeros or base."""
    assert args(written) == rendered


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("pack: {label: a, inner: [{size: b}]}", "'pack' must be a whole number, not 'b'"),
        ("pack: {label: a, inner: [{size: 1.5}]}", "'size' of 'pack' must be a whole number"),
        ("pack: {label: a, inner: [{}]}", "'pack' needs 'size'; add 'size:'"),
        ("pack: {label: a, inner: [{size: 1, raito: 2}]}", "did you mean 'ratio'?"),
        ("pack: {label: a, inner: {size: 1}}", "'inner' of 'pack' must be a list, not a mapping"),
        ("pack: {label: a, flag: maybe}", "'flag' of 'pack' must be true or false"),
        ("pack: text", "'pack' must be a mapping, not 'text'"),
        ("short: {label: [a]}", "'label' of 'short' must be text, not a list"),
        ("short: [a]", "'short' must be text, not a list"),
        ("short: {lable: a}", "did you mean 'label'?"),
        ("http: {get: 'https://a.example', json: 1, form: {a: b}}", "send json or form, not both"),
    ],
)  # fmt: skip
def test_what_is_written_out_is_checked_against_the_model(written, told):
    found = mistakes(written)

    assert len(found) == 1
    assert told in found[0]


@pytest.mark.parametrize(
    "written",
    [
        "pack: {label: a, inner: [{size: '{{ len(session.id) }}'}]}",
        "pack: {label: a, flag: '{{ session.mine }}'}",
        "pack: '{{ session.userData }}'",
        "short: '{{ session.id }}'",
    ],
)
def test_what_a_template_will_bring_is_excused(written):
    assert mistakes(written) == []


def test_a_whole_template_keeps_its_type():
    assert args("pack: {label: a, inner: [{size: '{{ len(session.id) }}'}]}") == {
        "label": "a",
        "inner": [{"size": 2}],
    }


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("s1", "https://a.example/x/s1?q=s1"),
        ("a/../b", "https://a.example/x/a%2F..%2Fb?q=a%2F..%2Fb"),
        ("é &#", "https://a.example/x/%C3%A9%20%26%23?q=%C3%A9%20%26%23"),
        ("\ud800", "https://a.example/x/%3F?q=%3F"),
    ],
)
def test_a_value_in_an_address_stays_one_segment(value, url):
    """What the other party types must not choose which resource is called."""
    (step, _) = steps(
        "      - http: {get: 'https://a.example/x/{{ session.id }}?q={{ session.id }}'}\n"
    )

    assert step.args.render({"session": {"id": value}}, SENSES) == {"get": url}


@pytest.mark.parametrize("value", ["", ".", "..", ["a"], None])
def test_a_value_that_would_change_the_path_fails_the_step(value):
    (step, _) = steps("      - http: {get: 'https://a.example/{{ session.userData.x }}'}\n")

    with pytest.raises(PermanentError, match="address"):
        step.args.render({"session": {"userData": {"x": value}}}, SENSES)


def test_an_address_may_begin_with_a_constant_or_secret_as_it_is():
    head = "version: 1\nvars: {crm: 'https://a.example/base'}\nrules:\n  - id: r\n"
    book, problems = load(
        head + "    trigger: {state: Talking}\n    do:\n"
        "      - http: {get: '{{ vars.crm }}/x'}\n"
        "      - http: {get: \"{{ vars['crm'] }}?a=b\"}\n"
        "      - http: {get: '{{ secret(\"CRM_URL\") }}/x'}\n"
    )
    assert problems == []
    scope = {"vars": book.rules[0].vars}
    senses = type(SENSES)(secrets={"CRM_URL": "https://s.example"})

    urls = [
        step.args.render(scope, senses)["get"] for step in book.rules[0].program.instructions[:3]
    ]

    assert urls == ["https://a.example/base/x", "https://a.example/base?a=b", "https://s.example/x"]


def test_a_constant_that_is_unknown_or_no_origin_is_told():
    assert "unknown-field" in mistakes("http: {get: '{{ vars.nothing }}/x'}")[0]


@pytest.mark.parametrize(
    ("origin", "allowed", "may"),
    [
        ("https://a.example", ["https://A.example:443/"], True),
        ("https://a.example:8443", ["https://a.example"], False),
        ("http://a.example", ["https://a.example"], False),
        ("https://a.example.", ["https://a.example"], False),
        ("https://a.example:x", ["https://a.example"], False),
        ("https://[::1]:443", ["https://[::1]"], True),
    ],
)
def test_origins_are_the_same_as_urls_mean_them(origin, allowed, may):
    assert is_allowed(origin, allowed) is may
