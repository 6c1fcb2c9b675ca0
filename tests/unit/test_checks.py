"""Rules of imbot/rulebook/checks.py and clearsecrets.py: what is wrong between right parts."""

import pytest

from tests.unit.rulebooks import load


def told(*rules):
    """Return severity, code and rule or line of each problem of rules written in short."""
    text = "version: 1\nrules:\n" + "".join(
        f"  - id: {'abcdef'[n]}\n{''.join(f'    {line}{chr(10)}' for line in each.splitlines())}"
        for n, each in enumerate(rules)
    )
    _, problems = load(text)
    return [line.split(": ", 1)[1].partition(":")[0] for line in problems]


def a_rule(trigger="{state: Talking}", when=None, do="[{log: x}]", more=""):
    lines = [f"trigger: {trigger}", f"do: {do}", more]
    if when is not None:
        lines.append(f"when: {when}")
    return "\n".join(line for line in lines if line)


REPLY = "[{reply: hi}]"
NEVER = ["error[never-runs]"]
DOUBLE = ["error[double-reply]"]
MAYBE = ["warning[double-reply]"]


@pytest.mark.parametrize(
    "when",
    [
        "false",
        "session.userData.a == 'x' and session.userData.a == 'y'",
        "session.userData.a == 'x' and session.userData.a != 'x'",
        "session.userData.a == 'x' and not session.userData.a",
        "session.userData.a and not session.userData.a",
        "session.userData.a == '' and session.userData.a",
        "session.userData.a in ['x', 'y'] and not session.userData.a in ['x', 'y', 'z']",
        "session.userData.a == 'x' and not session.userData.a != 'y'",
        "number(session.userData.a) > 5 and number(session.userData.a) < 3",
        "number(session.userData.a) > 5 and number(session.userData.a) <= 5",
        "session.userData.a > 'b' and session.userData.a == 'a'",
        "session.userData.a < 'b' and session.userData.a >= 'b'",
        "session.state == 'Alerting'",
        "event.kind == 'message'",
    ],
)
def test_a_condition_that_never_holds_is_an_error(when):
    assert told(a_rule(when=f'"{when}"')) == NEVER


@pytest.mark.parametrize(
    "when",
    [
        "session.userData.a == 'x' and session.userData.b == 'y'",
        "session.userData.a != 'x' and session.userData.a != 'y'",
        "number(session.userData.a) > 5 and session.userData.a == '7'",
        "number(session.userData.a) >= 5 and number(session.userData.a) <= 5",
        "session.userData.a > 'a' and number(session.userData.a) < 3",
        "session.userData.a >= 'b' and session.userData.a == 'b'",
        "not session.userData.a > 'b' and session.userData.a == 'a'",
        "session.state != 'Alerting'",
    ],
)
def test_a_condition_that_may_hold_is_none(when):
    assert told(a_rule(when=f'"{when}"')) == []


def test_an_edge_that_the_condition_rules_out_is_an_error():
    edge = "{state: {from: Alerting, to: Talking}}"

    assert told(a_rule(edge, "event.previous == 'Initiating'")) == NEVER
    assert told(a_rule("{connection: lost}", "event.change == 'gap'")) == NEVER
    assert told(a_rule("[{state: Talking}, {message: any}]", "session.state == 'Alerting'")) == []


@pytest.mark.parametrize(
    ("trigger", "when"),
    [
        ("{message: {equals: yes}}", "message.text == 'no'"),
        ("{message: {equals: [yes, y]}}", "message.text in ['no', 'n']"),
        ("{message: {startswith: order}}", "message.text == 'my order'"),
        ("{message: {contains: order}}", "message.text == 'cancel'"),
        ("{message: {matches: '^[0-9]+$'}}", "message.text == 'x'"),
        ("{message: {equals: stop}}", "startswith(message.text, 'start')"),
        ("{message: {equals: stop}}", "endswith(message.text, 's')"),
        ("{message: {equals: stop}}", "contains(message.text, 'x')"),
        ("{message: {startswith: stop}}", "startswith(message.text, 'start')"),
        ("[{message: {equals: a}}, {message: {equals: b}}]", "message.text == 'c'"),
        ("{idle: 5m}", "event.idle < 60"),
        ("{userdata: [vip]}", "not event.changed.vip"),
        ("{webhook: orders}", "event.name == 'order'"),
    ],
)
def test_a_condition_that_contradicts_its_trigger_is_an_error(trigger, when):
    """The author sees two right lines; only together they say that nothing ever happens."""
    assert told(a_rule(trigger, f'"{when}"')) == NEVER


@pytest.mark.parametrize(
    ("trigger", "when"),
    [
        ("{message: {equals: yes}}", "message.text == ' YES '"),
        ("{message: {equals: yes}}", "message.text != 'yes'"),
        ("{message: {equals: [yes, no]}}", "message.text in ['no', 'n']"),
        ("{message: {startswith: STRASSE}}", "message.text == 'straße 5'"),
        ("{message: {equals: stop}}", "startswith(message.text, ' S')"),
        ("{message: {equals: stop}}", "endswith(message.text, 'P ')"),
        ("{message: {equals: stop}}", "matches(message.text, 'x')"),
        ("{message: {startswith: st}}", "startswith(message.text, 'start')"),
        ("{message: {startswith: st}}", "endswith(message.text, 'x')"),
        ("{message: {startswith: start}}", "startswith(message.text, 'St')"),
        ("{message: {contains: a}}", "contains(message.text, 'b')"),
        ("{message: any}", "message.text == 'x' and startswith(message.text, 'x')"),
        ("[{message: {equals: a}}, {state: Talking}]", "message.text == 'a'"),
        ("{idle: 5m}", "event.idle <= 300"),
        ("{userdata: [vip, tier]}", "not event.changed.vip"),
        ("{userdata: any}", "not event.changed.vip"),
    ],
)
def test_a_condition_that_its_trigger_leaves_room_for_is_none(trigger, when):
    assert told(a_rule(trigger, f'"{when}"')) == []


@pytest.mark.parametrize(
    ("final", "trigger", "problems"),
    [
        ("{state: Talking}", "{state: Talking}", NEVER),
        ("{state: [Talking, Alerting]}", "{state: Talking}", NEVER),
        ("{state: Talking}", "{state: [Talking, Alerting]}", []),
        ("{state: Talking}", "{state: {from: Alerting, to: Talking}}", NEVER),
        ("{state: {from: Alerting, to: Talking}}", "{state: Talking}", []),
        ("{state: any}", "{state: {from: Alerting}}", NEVER),
        ("{message: any}", "{message: {contains: a}}", NEVER),
        ("{message: {contains: A}}", "{message: {contains: 'a '}}", NEVER),
        ("{message: {contains: a}}", "{message: {equals: a}}", []),
        ("{message: {contains: a}}", "{message: any}", []),
        ("{userdata: any}", "{userdata: [a, b]}", NEVER),
        ("{userdata: any}", "{userdata: a, own: true}", []),
        ("{userdata: a, own: true}", "{userdata: a}", NEVER),
        ("{connection: [lost, gap]}", "{connection: gap}", NEVER),
    ],
)
def test_a_final_rule_hides_those_that_it_always_precedes(final, trigger, problems):
    assert told(a_rule(final, do="[]", more="final: true"), a_rule(trigger)) == problems


def test_a_final_rule_hides_only_what_demands_as_much():
    final = a_rule(when="session.userData.a", do="[]", more="final: true")

    assert told(final, a_rule(when="session.userData.a and session.userData.b")) == NEVER
    assert told(final, a_rule(when="session.userData.b")) == []
    assert told(final, a_rule()) == []
    assert told(final + "\nenabled: false", a_rule(when="session.userData.a")) == []
    assert told(final + "\nshadow: true", a_rule(when="session.userData.a")) == []
    assert told(a_rule(when="session.userData.a"), final + "\npriority: 5") == NEVER


@pytest.mark.parametrize(
    ("first", "second", "problems"),
    [
        (a_rule(do=REPLY), a_rule(do=REPLY), DOUBLE),
        (a_rule(do=REPLY), a_rule(when="session.userData.a", do=REPLY), DOUBLE),
        (a_rule(when="session.userData.a", do=REPLY), a_rule(do=REPLY), MAYBE),
        (
            a_rule(when="session.userData.a == 'x'", do=REPLY),
            a_rule(when="session.userData.a == 'y'", do=REPLY),
            [],
        ),
        (
            a_rule(when="session.userData.a == 'x'", do=REPLY),
            a_rule(when="session.userData.b == 'y'", do=REPLY),
            MAYBE,
        ),
        (
            a_rule(when="number(session.userData.a) < 3", do=REPLY),
            a_rule(when="number(session.userData.a) >= 3", do=REPLY),
            [],
        ),
        (a_rule(do=REPLY), a_rule(do="[{if: session.mine, then: [{reply: x}]}]"), MAYBE),
        (a_rule(do=REPLY), a_rule(do="[{stop: x}, {reply: y}]"), ["warning[after-end]"]),
        (a_rule(do=REPLY), a_rule(do=REPLY, more="shadow: true"), []),
        (a_rule(do=REPLY, more="shadow: true"), a_rule(do=REPLY), []),
        (a_rule(do=REPLY), a_rule(do=REPLY, more="enabled: false"), []),
        (a_rule(when="session.mine", do=REPLY, more="final: true"), a_rule(do=REPLY), []),
        (a_rule(do=REPLY), a_rule(), []),
        (a_rule("{message: any}", do=REPLY), a_rule("{message: {contains: a}}", do=REPLY), []),
        (
            a_rule("{message: {contains: [a, b]}}", do=REPLY),
            a_rule("{message: {contains: B}}", do=REPLY),
            DOUBLE,
        ),
    ],
)
def test_two_rules_that_answer_one_event_are_an_error_only_if_certain(first, second, problems):
    assert told(first, second) == problems


@pytest.mark.parametrize(
    ("on_error", "problems"),
    [
        (None, []),
        ("[{stop: x}]", []),
        ("[]", MAYBE),
        (REPLY, MAYBE),
        ("[{reply: hi}, {stop: x}]", MAYBE),
    ],
)
def test_what_is_said_in_a_session_that_the_rule_begins_is_no_second_answer(on_error, problems):
    """After initiate steps act on the new session; it is another one that hears them."""
    failed = "" if on_error is None else f", on_error: {on_error}"
    calling = a_rule("{idle: 5m}", do=f"[{{initiate: {{to: 1, agent: any}}{failed}}}, {REPLY[1:]}")
    plain = a_rule("{idle: 5m}", do=REPLY)

    assert told(calling, plain) == told(plain, calling) == problems
    assert (
        told(
            a_rule("{idle: 5m}", do=f"[{REPLY[1:-1]}, {{initiate: {{to: 1, agent: any}}}}]"), plain
        )
        == DOUBLE
    )


def test_constants_of_different_files_make_different_conditions():
    text = (
        "version: 1\nvars: {tier: gold}\nrules:\n  - id: a\n    trigger: {state: Talking}\n"
        "    when: session.userData.tier == vars.tier\n    do: [{reply: x}]\n"
    )
    other = text.replace("gold", "silver").replace("id: a", "id: b")

    _, problems = load(text, other)
    assert ["warning[double-reply]" in line for line in problems] == [True]

    _, problems = load(text, other.replace("silver", "gold"))
    assert ["error[double-reply]" in line for line in problems] == [True]


def test_many_rules_on_one_edge_are_checked_in_little_time():
    """A rulebook of a thousand rules is checked while its author waits."""
    rules = "".join(
        f"  - {{id: r{n}, trigger: {{state: Talking}}, do: [{{reply: x}}],"
        f" when: session.state == 'Talking' and session.userData.a == 'v{n}'}}\n"
        for n in range(300)
    )

    _, problems = load("version: 1\nrules:\n" + rules)

    assert problems == []


@pytest.mark.parametrize(
    ("trigger", "do", "problems"),
    [
        ("{state: Completed}", "[{complete: x}]", ["error[dead-step]"]),
        ("{state: Completed}", "[{unset: [a]}]", ["error[dead-step]"]),
        ("{state: Completed}", "[{if: session.id, then: [{reply: x}]}]", ["error[dead-step]"]),
        ("{state: Completed}", "[{if: session.id, then: [{initiate: {to: 1}}, {reply: x}]}]", []),
        ("{state: Completed}", "[{crm.upsert: {}}, {log: x}]", []),
        ("[{state: Completed}, {message: any}]", "[{reply: x}]", []),
        ("{state: [Talking, Completed]}", "[{reply: x}]", []),
        ("{state: any}", "[{reply: x}]", []),
        ("{state: [Alerting, Completed]}", "[{reply: x}]", ["warning[dead-step]"]),
    ],
)
def test_a_step_that_the_state_forbids_is_told(trigger, do, problems):
    assert told(a_rule(trigger, do=do)) == problems


def test_a_state_in_the_condition_counts_too():
    completed = "session.state == 'Completed'"

    assert told(a_rule("{state: [Talking, Completed]}", completed, REPLY)) == ["error[dead-step]"]


@pytest.mark.parametrize(
    ("trigger", "do", "more", "problems"),
    [
        ("{userdata: any, own: true}", "[{set: {a: b}}]", "", 1),
        ("{userdata: [a], own: true}", "[{set: {a: '{{ session.id }}'}}]", "", 1),
        ("{userdata: [a], own: true}", "[{unset: [a]}]", "", 1),
        ("{userdata: [a], own: true}", "[{set: {b: c}}, {reply: x}]", "", 0),
        ("{userdata: [a]}", "[{set: {a: b}}]", "", 0),
        ("{userdata: [a], own: true}", "[{set: {a: b}}]", "once: session", 0),
        ("{userdata: [a], own: true}", "[{set: {a: b}}]", "when: session.userData.a != 'b'", 0),
        ("{userdata: [a], own: true}", "[{set: {a: b}}]", "when: not session.userData.a", 0),
        ("{userdata: [a], own: true}", "[{set: {a: b}}]", "when: session.userData.c", 1),
    ],
)
def test_a_rule_that_starts_itself_is_an_error(trigger, do, more, problems):
    assert told(a_rule(trigger, do=do, more=more)) == ["error[self-trigger]"] * problems


def test_a_rule_that_begins_sessions_must_not_start_on_them():
    initiate = "[{initiate: {to: 3003, agent: any}}]"

    assert told(a_rule(do=initiate)) == ["warning[self-trigger]"]
    assert told(a_rule(when="not session.mine", do=initiate)) == []
    assert told(a_rule("{state: Completed}", do=initiate)) == ["error[self-trigger]"]
    assert told(a_rule("{state: any}", do=initiate, more="once: session")) == [
        "error[self-trigger]"
    ]
    assert told(a_rule("{state: Completed}", do=initiate, more="once: day")) == []
    assert told(a_rule(when="not session.mine", trigger="{state: any}", do=initiate)) == []
    guarded = "[{if: not session.mine, then: [{initiate: {to: 3003}}]}]"
    assert told(a_rule("{state: Completed}", do=guarded)) == []
    assert told(a_rule("{message: any}", do=initiate)) == []


@pytest.mark.parametrize(
    ("trigger", "args", "more", "problems"),
    [
        ("{message: any}", "{to: 1}", "", ["warning[dead-step]"]),
        ("{idle: 5m}", "{to: '{{ vars.number }}'}", "vars: {number: '1'}", ["warning[dead-step]"]),
        ("[{userdata: [a]}, {message: any}]", "{to: 1}", "", ["warning[dead-step]"]),
        ("{message: any}", "{to: 1, agent: bot2}", "", []),
        ("{message: any}", "{to: 1, agent: '{{ vars.who }}'}", "vars: {who: bot2}", []),
        ("[{message: any}, {connection: gap}]", "{to: 1}", "", []),
        ("{state: {from: Talking}}", "{to: 1}", "once: day", []),
    ],
)
def test_a_session_is_not_begun_for_the_agent_who_is_in_one(trigger, args, more, problems):
    """An agent has one session at a time: GWS would answer that it is busy, each time."""
    assert told(a_rule(trigger, do=f"[{{initiate: {args}}}]", more=more)) == problems


def test_after_its_end_a_session_keeps_nobody_busy():
    ended = "[{complete: bye}, {initiate: {to: 1}, even_if_completed: true}]"

    assert told(a_rule("{message: any}", do=ended)) == []


def test_a_message_too_long_to_send_is_an_error():
    assert told(a_rule(do=f"[{{reply: {'x' * 8193}}}]")) == ["error[long-message]"]
    assert told(a_rule(do=f"[{{reply: {'x' * 8192}}}]")) == []


# Waits, and rules beside each other ------------------------------------------------------------


@pytest.mark.parametrize(
    ("trigger", "wait", "problems"),
    [
        ("{state: Alerting}", "{wait_for: {state: Talking}}", []),
        ("{state: Alerting}", "{wait_for: {state: {from: Alerting}}}", []),
        ("{state: [Alerting, Talking]}", "{wait_for: {state: Talking}}", []),
        ("{state: Talking}", "{wait_for: {state: any}}", []),
        ("{state: Talking}", "{wait_for: {state: Talking}}", ["error[never-ends]"]),
        ("{state: Talking}", "{wait_for: {state: {from: Alerting}}}", ["error[never-ends]"]),
        ("{state: Completed}", "{wait_for: {state: any}}", ["error[never-ends]"]),
        ("{state: Completed}", "{wait_for: {userdata: any}, timeout: 1s}", ["warning[never-ends]"]),
        ("{message: any}", "{wait_for: {state: Alerting}}", ["error[never-ends]"]),
        ("{message: any}", "{wait_for: {state: Alerting}, timeout: 1s}", ["warning[never-ends]"]),
        ("{message: any}", "{wait_for: {state: Talking}}", []),
        ("{userdata: any}", "{wait_for: {state: Alerting}}", []),
        ("{idle: 5m}", "{wait_for: {state: {from: Talking}}}", []),
    ],
)
def test_a_wait_that_can_never_end_is_told(trigger, wait, problems):
    assert told(a_rule(trigger, do=f"[{wait}, {{log: x}}]")) == problems


def test_after_a_wait_the_session_may_have_gone_on():
    """A rule that waits for Talking may reply then."""
    assert told(a_rule("{state: Alerting}", do="[{wait_for: {state: Talking}}, {reply: hi}]")) == []
    assert told(a_rule("{state: Alerting}", do="[{wait: 5s}, {reply: hi}]")) == []
    assert told(a_rule("{state: Completed}", do="[{wait: 5s}, {reply: hi}]")) == [
        "error[dead-step]"
    ]


def test_a_reply_behind_a_wait_is_not_certain():
    """What happens meanwhile may cancel the run."""
    later = a_rule(do="[{wait: 5s}, {reply: hi}]")

    assert told(a_rule(do=REPLY), later) == MAYBE


def test_two_calls_of_a_block_that_completes_end_the_rule_once():
    text = (
        "version: 1\nblocks: {bye: {do: [{log: x}, {complete: bye}]}}\nrules:\n"
        "  - id: r\n    trigger: {message: any}\n    do:\n"
        "      - if: session.mine\n        then: [{call: {block: bye}}]\n"
        "        else: [{call: {block: bye}}]\n"
    )
    assert load(text)[1] == []

    _, problems = load(text + "      - call: {block: bye}\n      - stop: x\n      - log: y\n")
    assert [problem.partition(": ")[0] for problem in problems] == ["f.yaml:11:9"]


@pytest.mark.parametrize(
    ("steps", "problems"),
    [
        ("{if: session.mine, then: [{log: x}], else: [{reply: x, even_if_completed: true}]}", []),
        ("{if: session.mine, then: [{wait: 5s, even_if_completed: true}]}", []),
        ("{parallel: [[{log: x}], [{wait: 5s, even_if_completed: true}]]}", []),
        ("{parallel: [[{log: x}]]}", ["warning[after-end]"]),
        ("{if: session.mine, then: [{log: x}], else: [{log: y}]}", ["warning[after-end]"]),
        ("{wait: 5s, even_if_completed: true}, {wait: 5s}", ["warning[after-end]"]),
        (
            "{wait_for: {message: any}, even_if_completed: true, timeout: 1s}",
            ["warning[never-ends]"],
        ),
    ],
)
def test_what_is_done_in_spite_of_the_end_may_stand_behind_it(steps, problems):
    assert told(a_rule("{message: any}", do=f"[{{complete: bye}}, {steps}]")) == problems


def test_a_block_that_is_done_in_spite_of_the_end_may_stand_behind_it():
    text = (
        "version: 1\nblocks: {after: {do: [{log: x}, {wait: 1s, even_if_completed: %s}]}}\n"
        "rules:\n"
        "  - id: r\n    trigger: {message: any}\n"
        "    do: [{complete: bye}, {call: {block: after}}, {if: session.mine, then: [{stop: x}]}]\n"
    )

    assert [line.partition(":")[2].partition(":")[0] for line in load(text % "true")[1]] == ["6"]
    assert "6:28" in load(text % "false")[1][0]


@pytest.mark.parametrize("trigger", ["{idle: 5m}", "{every: 1h}", "{webhook: x}"])
def test_two_rules_of_one_timer_are_beside_each_other(trigger):
    assert told(a_rule(trigger, do="[{log: a}]", more="final: true"), a_rule(trigger)) == NEVER
    assert told(a_rule(trigger, more="final: true"), a_rule("{idle: 6m}")) == []


def test_rules_that_start_each_other_are_told_once():
    def mark(watched, written, more=""):
        do = f"[{{set: {{{written}: '{{{{ event.at }}}}'}}}}]"
        return a_rule(f"{{userdata: [{watched}], own: true}}", do=do, more=more)

    assert told(mark("a", "b"), mark("b", "c"), mark("c", "a")) == ["warning[rule-circle]"]
    assert told(mark("a", "b"), mark("b", "c", "once: session"), mark("c", "a")) == []
    assert told(mark("a", "b"), mark("b", "c", "shadow: true"), mark("c", "a")) == []
    assert told(mark("a", "b"), mark("c", "a")) == []
