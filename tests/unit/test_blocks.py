"""Rules of imbot/rulebook/blocks.py, shared.py and programs.py: blocks, calls and their order."""

from hypothesis import given
from hypothesis import strategies as st

from imbot.rulebook.blocks import MOST_IN_PROGRAM, Shelf, in_order
from imbot.rulebook.programs import on_the_way, with_session
from imbot.rulebook.schema import (
    Act,
    Branch,
    End,
    Enter,
    Fork,
    Join,
    Jump,
    Leave,
    Let,
    Log,
    Wait,
    WaitFor,
)
from tests.unit.rulebooks import load, rule

BLOCKS = """\
version: 1
vars: {word: w}
blocks:
  inner:
    inputs: {who: text}
    do:
      - reply: "{{ who }} {{ vars.word }}"
        on_error: [{log: "{{ error.message }}"}]
      - if: who == "a"
        then: [{log: a}]
        else: [{stop: b}]
  outer:
    do:
      - parallel:
          - - call: {block: inner, with: {who: a}}
          - - wait: 1s
rules:
  - id: r
    trigger: {message: any}
    do:
"""


def program(steps, blocks=BLOCKS):
    """Return the program of a rule that has these steps, one to a line."""
    book, problems = load(blocks + "".join(f"      - {step}\n" for step in steps))
    assert problems == []
    return book.rules[0].program


def test_a_block_is_written_out_where_it_is_called():
    code = program(["log: x", "call: {block: outer}", "log: y"])

    kinds = [type(step) for step in code.instructions]
    assert kinds == [
        *(Log, Enter, Fork, Enter, Act, Branch, Log, Jump, type(code.instructions[8])),
        *(Jump, Log, Jump, Leave, Join, Wait, Join, Leave, Log, End),
    ]
    fork, enter, act = code.instructions[2], code.instructions[3], code.instructions[4]
    assert (fork.branches, fork.join) == ((3, 14), 16)
    assert (code.instructions[13], code.instructions[15]) == (Join(2, 16), Join(2, 16))
    assert code.instructions[12] == Leave(3)
    assert code.instructions[16] == Leave(1)
    assert (act.on_error, code.instructions[5].otherwise) == (10, 8)
    assert (code.instructions[7], code.instructions[9], code.instructions[11]) == (
        Jump(9),
        Jump(12),
        Jump(5),
    )
    assert [name for name, _ in enter.inputs] == ["vars", "who"]
    assert (act.path, enter.path) == ("blocks/inner/0", "blocks/outer/0/parallel/0/0")


def test_every_instruction_of_a_block_knows_its_frame():
    code = program(["log: x", "call: {block: outer}", "log: y"])

    inner = dict.fromkeys(range(4, 13), 3)
    assert code.frames == {**dict.fromkeys((2, 3, 13, 14, 15, 16), 1), **inner}


def test_two_calls_are_two_frames():
    code = program(["call: {block: outer}", "call: {block: inner, with: {who: b}}"])

    enters = [pc for pc, step in enumerate(code.instructions) if isinstance(step, Enter)]
    assert enters == [0, 2, 16]
    assert set(code.frames.values()) == set(enters)


def test_a_disabled_call_leaves_nothing_behind():
    book, problems = load(
        BLOCKS + "      - {call: {block: outer}, enabled: false}\n      - log: x\n"
    )

    assert problems == []
    code = book.rules[0].program
    assert [type(step) for step in code.instructions] == [Log, End]
    assert code.frames == {}


def test_an_input_is_taken_as_its_type_wants_it():
    text = (
        "version: 1\nblocks:\n  b:\n    inputs: {a: text, b: number, c: bool, d: any}\n"
        "    do: [{log: '{{ a }}{{ b }}{{ c }}{{ d }}'}]\n"
        "rules:\n  - id: r\n    trigger: {message: any}\n    do:\n"
        "      - call: {block: b, with: {a: 007, b: 1.50, c: true, d: [1, '{{ agent.user }}']}}\n"
    )
    book, problems = load(text)

    assert problems == []
    (enter, *_) = book.rules[0].program.instructions
    scope = {"agent": {"user": "bot1"}}
    assert {name: value.render(scope, None) for name, value in enter.inputs} == {
        "a": "007",
        "b": 1.5,
        "c": True,
        "d": [1, "bot1"],
    }


def test_a_block_may_stand_in_another_file_with_constants_of_its_own():
    rules = (
        "version: 1\nvars: {word: other}\nrules:\n  - id: r\n    trigger: {message: any}\n"
        "    do: [{log: '{{ vars.word }}'}, {call: {block: inner, with: {who: x}}}]\n"
    )
    shared = BLOCKS.partition("rules:")[0].partition("  outer:")[0]

    book, problems = load(shared, rules)

    assert problems == []
    (_, enter, *_) = book.rules[0].program.instructions
    assert dict(enter.inputs)["vars"].render({}, None) == {"word": "w"}
    assert dict(book.rules[0].vars) == {"word": "other"}


def test_a_block_is_unique_in_the_rulebook():
    shared = BLOCKS.partition("rules:")[0]

    _, problems = load(shared, shared)

    assert [line.partition(";")[0] for line in problems] == [
        "f1.yaml:4:3: error[duplicate-block]: a second block 'inner'",
        "f1.yaml:12:3: error[duplicate-block]: a second block 'outer'",
    ]


def test_a_block_with_a_mistake_tells_it_once_however_often_it_is_called():
    text = (
        "version: 1\nblocks: {b: {do: [{replly: x}], description: 5}}\nrules:\n"
        "  - {id: r, trigger: {message: any}, do: [{call: {block: b}}, {call: {block: b}}]}\n"
    )
    _, problems = load(text)

    assert [problem.partition("]")[0] for problem in problems] == [
        "f.yaml:2:20: error[unknown-action"
    ]


def test_a_long_circle_is_told_in_short():
    names = [f"b{number}" for number in range(20)]
    blocks = "".join(
        f"  {name}: {{do: [{{call: {{block: {after}}}}}]}}\n"
        for name, after in zip(names, [*names[1:], names[0]], strict=True)
    )
    _, problems = load(f"version: 1\nblocks:\n{blocks}rules: []\n")

    told = [problem for problem in problems if "recursion" in problem]
    assert len(told) == 1
    assert "b0 → b1 → b2 → b3 → b4 → b5 → b6 → b7 → … → b0;" in told[0]


def test_a_deep_chain_of_blocks_is_read():
    """Deeper than Python calls; its own limit must not show."""
    chain = "".join(f"  b{n}: {{do: [{{call: {{block: b{n + 1}}}}}]}}\n" for n in range(300))
    text = f"version: 1\nblocks:\n{chain}  b300: {{do: [{{log: x}}]}}\nrules:\n"
    text += "  - {id: r, trigger: {message: any}, do: [{call: {block: b0}}]}\n"

    book, problems = load(text)

    assert problems == []
    assert len(book.rules[0].program.instructions) == 2 * 301 + 2


def test_blocks_that_grow_beyond_measure_are_refused_soon():
    doubled = "".join(
        f"  b{n}: {{do: [{{call: {{block: b{n + 1}}}}}, {{call: {{block: b{n + 1}}}}}]}}\n"
        for n in range(40)
    )
    text = f"version: 1\nblocks:\n{doubled}  b40: {{do: [{{log: x}}]}}\nrules: []\n"

    _, problems = load(text)

    assert "too-many-steps" in problems[0]
    assert str(MOST_IN_PROGRAM) in problems[0]


def test_a_rulebook_has_room_for_so_many_steps_of_blocks(monkeypatch):
    """A thousand rules with a large block each would fill the memory."""
    monkeypatch.setattr("imbot.rulebook.loader.Shelf", lambda names: Shelf(names, room=40))
    text = (
        "version: 1\nblocks: {b: {do: [{log: a}, {log: b}]}}\nrules:\n"
        "  - id: r\n    trigger: {message: any}\n    do:\n"
    )

    _, problems = load(text + "      - call: {block: b}\n" * 11)

    assert [problem.partition("]")[0] for problem in problems] == [
        "f.yaml:17:9: error[too-many-steps"
    ]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefg"), max_size=4)))
def test_blocks_come_behind_those_that_they_call_unless_in_a_circle(calls):
    nodes = {name: tuple(map(_Named, called)) for name, called in calls.items()}

    order, circles = in_order(nodes)

    assert sorted(order) == sorted(calls)
    closing = {(circle.names[-1], circle.call.raw) for circle in circles}
    for name, called in calls.items():
        for other in called:
            if other in calls and (name, other) not in closing:
                assert order.index(other) < order.index(name)
    for circle in circles:
        for one, other in zip(circle.names, [*circle.names[1:], circle.names[0]], strict=True):
            assert other in calls[one]


class _Named:
    """A node as far as the order asks for it."""

    def __init__(self, raw):
        self.raw = raw


# What a run comes to --------------------------------------------------------------------------


def test_what_stands_in_no_branch_is_on_the_way_of_every_run():
    code = program(["if: session.mine\n        then: [{log: x}]", "call: {block: outer}", "log: y"])

    assert [type(code.instructions[pc]) for pc in sorted(on_the_way(code))] == [
        *(Branch, Enter, Fork, Log)
    ]


def test_a_session_is_there_once_one_was_begun_on_some_way():
    code = rule(
        "    do:\n"
        "      - parallel:\n"
        "          - - initiate: {to: 3003, agent: any}\n"
        "          - - wait: 5s\n"
        "            - reply: a\n"
        "      - if: event.body\n        then: [{stop: x}]\n"
        "      - let: {a: event.body}\n"
        "      - reply: b\n"
        "    on_error: [{reply: c}]\n",
        trigger="{webhook: x}",
    ).program

    begins = {
        pc
        for pc, step in enumerate(code.instructions)
        if isinstance(step, Act) and step.action == "initiate"
    }
    found = with_session(code, begins)

    assert {type(code.instructions[pc]) for pc in found} >= {Act, Wait, Join, Branch, Let}
    assert code.on_error in found


def test_a_rule_without_a_session_may_begin_one_and_wait_in_it():
    code = rule(
        "    do:\n"
        "      - initiate: {to: 3003, agent: any}\n"
        "        on_error: [{stop: busy}]\n"
        "      - wait_for: {state: Talking}\n"
        "        timeout: 1m\n"
        "      - reply: Hello\n",
        trigger="{every: 1h}",
    ).program

    assert isinstance(code.instructions[1], WaitFor)
