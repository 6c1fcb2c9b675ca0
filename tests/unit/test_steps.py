"""Rules of imbot/rulebook/steps.py and acts.py: steps in, one flat program out."""

from typing import Any

import pytest
from pydantic import BaseModel, Field, RootModel

from imbot.rulebook.acts import result_type
from imbot.rulebook.schema import (
    Act,
    Branch,
    End,
    Join,
    Jump,
    Let,
    Log,
    MessageTrigger,
    Retry,
    Stop,
    TextTest,
    WaitFor,
)
from imbot.rulebook.scope import Kind
from tests.unit.rulebooks import load, rule, steps


def shape(instructions):
    """Return the kinds of instructions, with where they lead."""
    leads = {Branch: "otherwise", Jump: "to", Act: "on_error"}
    return [
        (type(each).__name__, getattr(each, leads[type(each)])) if type(each) in leads else
        type(each).__name__
        for each in instructions
    ]  # fmt: skip


def test_steps_follow_each_other_and_end():
    code = steps("      - reply: hi\n      - log: x\n      - stop: y\n")

    assert shape(code) == [("Act", None), "Log", "Stop", "End"]
    assert [each.path for each in code[:3]] == ["do/0", "do/1", "do/2"]
    assert str(code[0].place) == "f.yaml:6:9"


def test_a_branch_goes_around_what_does_not_hold():
    code = steps(
        "      - if: session.mine\n        then: [{log: a}, {log: b}]\n        else: [{log: c}]\n"
        "      - if: session.id\n        then: [{log: d}]\n"
    )

    assert shape(code) == [
        ("Branch", 4), "Log", "Log", ("Jump", 5), "Log", ("Branch", 7), "Log", "End",
    ]  # fmt: skip
    assert code[4].path == "do/0/else/0"


def test_what_a_step_does_on_error_stands_after_the_end_and_goes_on_behind_the_step():
    code = steps(
        "      - reply: a\n        on_error: [{reply: b, on_error: [{log: '{{ error.kind }}'}]}]\n"
        "      - log: c\n"
    )

    assert shape(code) == [
        ("Act", 3), "Log", "End", ("Act", 5), ("Jump", 1), "Log", ("Jump", 4),
    ]  # fmt: skip
    assert code[3].path == "do/0/on_error/0"


def test_what_a_rule_does_on_error_is_a_program_of_its_own():
    program = rule(
        "    do: [{reply: a}]\n    on_error: [{log: '{{ error.message }}'}, {reply: b}]\n"
    ).program

    assert program.on_error == 2
    assert shape(program.instructions) == [("Act", None), "End", "Log", ("Act", None), "End"]


def test_an_action_carries_its_options():
    (act, _) = steps(
        "      - crm.lookup: {}\n        as: found\n        timeout: 3s\n        name: ask\n"
        "        retry: {times: 5, backoff: 2s..1m}\n        even_if_completed: true\n"
    )

    assert (act.bind, act.timeout_s, act.even_if_completed) == ("found", 3.0, True)
    assert act.retry == Retry(5, 2.0, 60.0)


@pytest.mark.parametrize(
    ("written", "retry"),
    [
        ("{times: 2}", Retry(2, 1.0, 60.0)),
        ("{times: 2, backoff: 5s}", Retry(2, 5.0, 5.0)),
    ],
)
def test_a_backoff_may_be_left_out_or_always_the_same(written, retry):
    (act, _) = steps(f"      - reply: a\n        retry: {written}\n")

    assert act.retry == retry


def test_a_disabled_step_is_checked_and_left_out():
    """A step that is switched off for a day must still be right when it comes back."""
    code = steps(
        "      - {reply: a, enabled: false, as: x, on_error: [{log: b}]}\n"
        "      - log: \"{{ x | default('none') }}\"\n"
    )
    assert shape(code) == ["Log", "End"]

    _, problems = load(
        "version: 1\nrules:\n"
        "  - {id: r, trigger: {state: Talking}, do: [{replly: a, enabled: false}]}"
    )
    assert "unknown-action" in problems[0]


def test_let_binds_expressions_and_templates_for_all_that_follows():
    (let, branch, inner, log, _) = steps(
        "      - let: {a: session.id, b: 'x{{ a }}', c: 5, d: true}\n"
        "      - if: c == 5 and d\n        then: [{let: {e: b}}]\n"
        "      - log: '{{ a }}{{ e }}'\n"
    )

    assert isinstance(let, Let)
    assert [name for name, _ in let.values] == ["a", "b", "c", "d"]
    assert isinstance(branch, Branch)
    assert isinstance(inner, Let)
    assert isinstance(log, Log)


def test_names_bound_in_one_branch_are_known_after_both():
    code = steps(
        "      - if: session.mine\n        then: [{let: {a: session.id}}]\n"
        "        else: [{let: {b: session.id}}]\n      - log: '{{ a }}{{ b }}'\n"
    )

    assert isinstance(code[-2], Log)


def test_a_name_is_unknown_before_it_is_bound():
    _, problems = load(
        "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n    do:\n"
        "      - log: '{{ a }}'\n      - let: {a: session.id}\n"
    )

    assert problems[0].startswith("f.yaml:6:18: error[unknown-name]")


def test_a_stop_may_do_without_a_reason():
    (stop, end) = steps("      - stop:\n")

    assert isinstance(stop, Stop)
    assert stop.reason.render({}, None) == ""
    assert isinstance(end, End)


def test_what_is_known_of_a_result_is_checked():
    _, problems = load(
        "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n    do:\n"
        "      - {http: {get: 'https://a.example/'}, as: answer}\n      - if: answer.sttus == 200\n"
        "        then: [{log: x}]\n"
    )

    assert "did you mean 'status'?" in problems[0]


def test_the_type_of_a_result_is_read_from_its_model():
    class Answer(BaseModel):
        status: int
        json_: Any = Field(alias="json")

    class Open(BaseModel, extra="allow"):
        found: bool

    class Bare(RootModel[str]):
        pass

    assert {k: t.kind for k, t in result_type(Answer).fields.items()} == {
        "status": Kind.NUMBER,
        "json": Kind.ANY,
    }
    assert result_type(Open).fields is None
    assert result_type(Bare).fields is None
    assert result_type(None).kind is Kind.ANY


class Branching(BaseModel):
    """A model that holds itself."""

    words: list[str]
    counts: dict[str, int]
    maybe: str | None
    below: "list[Branching]"
    bare: list


def test_the_type_of_a_result_is_known_at_any_depth():
    type_ = result_type(Branching)

    assert type_.of_field("words").of_item.kind is Kind.TEXT
    assert type_.of_field("counts").of_field("x").kind is Kind.NUMBER
    assert type_.of_field("maybe").kind is Kind.ANY
    assert type_.of_field("bare").kind is Kind.ANY
    assert type_.of_field("below").of_item.kind is Kind.ANY


# Waits and branches ---------------------------------------------------------------------------


def test_a_wait_takes_a_duration_or_a_template_of_one():
    written, rendered, always, _ = steps(
        "      - wait: 1m30s\n      - wait: '{{ session.userData.pause }}'\n"
        "      - {wait: 5s, even_if_completed: true}\n"
    )

    assert (written.seconds, written.even_if_completed) == (90, False)
    assert rendered.seconds.render({"session": {"userData": {"pause": "5s"}}}, None) == "5s"
    assert (always.seconds, always.even_if_completed) == (5, True)


def test_a_wait_for_knows_what_it_waits_for_how_long_and_what_it_binds():
    bound, bare, _ = steps(
        "      - wait_for: {message: {contains: [yes, no]}}\n        timeout: 5m\n"
        "        as: answer\n"
        "      - wait_for: {state: Completed}\n        even_if_completed: true\n"
    )

    assert bound == WaitFor(
        MessageTrigger(TextTest.CONTAINS, ("yes", "no")), "do/0", bound.place, 300, "answer"
    )
    assert str(bound.place) == "f.yaml:6:9"
    assert (bare.timeout_s, bare.bind, bare.even_if_completed) == (None, None, True)


def test_the_branches_of_a_parallel_lie_between_it_and_its_join():
    code = steps(
        "      - parallel:\n"
        "          - [{log: a}, {wait: 1s}]\n"
        "          - - parallel: [[{log: b}], []]\n"
        "          - [{reply: c, on_error: [{log: d}]}]\n"
        "      - log: e\n"
    )

    assert [type(each).__name__ for each in code] == [
        *("Fork", "Log", "Wait", "Join"),
        *("Fork", "Log", "Join", "Join", "Join"),
        *("Act", "Jump", "Log", "Jump", "Join"),
        *("Log", "End"),
    ]
    assert (code[0].branches, code[0].join) == ((1, 4, 9), 14)
    assert (code[4].branches, code[4].join) == ((5, 7), 8)
    assert [step for step in code if isinstance(step, Join)] == [
        *(Join(0, 14), Join(4, 8), Join(4, 8), Join(0, 14), Join(0, 14)),
    ]
    assert (code[9].on_error, code[10], code[12]) == (11, Jump(13), Jump(10))


def test_what_any_branch_binds_is_bound_after_all_of_them():
    code = steps(
        "      - parallel:\n"
        "          - [{let: {a: session.id}}]\n"
        "          - [{crm.lookup: {}, as: b}]\n"
        "      - log: '{{ a }} {{ b.found }}'\n"
    )

    assert isinstance(code[-2], Log)


def test_of_a_name_that_two_branches_bind_otherwise_nothing_is_known():
    code = steps(
        "      - let: {a: 5}\n"
        "      - if: session.mine\n        then: [{let: {a: session.id}}]\n"
        "      - if: a == 'x' or a == 5\n        then: [{log: x}]\n"
    )

    assert isinstance(code[-2], Log)


def test_the_type_of_a_template_is_known_after_let():
    _, problems = load(
        "version: 1\nrules:\n  - id: r\n    trigger: {state: Talking}\n    do:\n"
        "      - let: {a: '{{ now() }}', b: 'x{{ a }}'}\n"
        "      - if: a == 'x' or b > 5\n        then: [{log: x}]\n"
    )

    assert [problem.partition("]")[0] for problem in problems] == [
        "f.yaml:7:18: error[impossible-comparison",
        "f.yaml:7:29: error[impossible-comparison",
    ]
