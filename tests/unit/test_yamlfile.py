"""Rules of imbot/yamlfile.py and imbot/yamlplaces.py."""

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imbot import yamlfile
from imbot.errors import ImbotError
from imbot.yamlfile import Kind, Limits, dump, load


def plain(text):
    node, problems = load("f.yaml", text)
    assert problems == []
    return node.plain()


def problem(text, **options):
    _, problems = load("f.yaml", text, **options)
    assert len(problems) == 1
    return problems[0]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("012", "012"),
        ("-012", "-012"),
        ("1:20", "1:20"),
        ("0", 0),
        ("-3", -3),
        ("+49301234", 49301234),
        ("0x1F", 31),
        ("0o17", 15),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("00.5", "00.5"),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("2026-01-01", "2026-01-01"),
        ("=", "="),
        ("'1'", "1"),
        ('"true"', "true"),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says_and_leading_zeros_stay(written, value):
    """A YAML 1.1 reader turns on, 012 and 1:20 into something nobody wrote."""
    read = plain(f"a: {written}")["a"]

    assert read == value
    assert type(read) is type(value)


def test_the_spelling_of_a_number_is_kept():
    """A telephone number written bare is text where text is due."""
    node, _ = load("f", "to: +49301")

    assert node.get("to").raw == "+49301"
    assert node.get("to").kind is Kind.NUMBER


def test_every_node_and_key_knows_its_place():
    node, _ = load("f.yaml", "a:\n  - é: x\n    b:   [1, {c: d}]\n")
    first = node.get("a").items[0]

    assert str(first.entries["é"].key.place) == "f.yaml:2:5"
    assert str(first.get("é").place) == "f.yaml:2:8"
    assert str(first.get("b").items[1].get("c").place) == "f.yaml:3:18"
    assert first.get("b").written == "[1, {c: d}]"
    assert first.get("nothing") is None
    assert first.items == ()
    assert node.get("a").entries == {}


def test_an_empty_text_is_an_empty_node():
    node, problems = load("f.yaml", "# only this\n")

    assert (node.kind, node.value, problems) == (Kind.NULL, None, [])


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ("a: 1\nb: 2\na: 3", "3:1", "duplicate-key"),
        ("a: !x 1", "1:4", "yaml-tag"),
        ("a: !!str 1", "1:4", "yaml-tag"),
        ("%TAG ! tag:x,2000:\n---\na: 1", "1:1", "yaml-tag"),
        ("a: &b 1", "1:4", "yaml-anchor"),
        ("a: *b", "1:4", "yaml-alias"),
        ("<<: {a: 1}", "1:1", "yaml-merge"),
        ("? [a]\n: b", "1:3", "bad-key"),
        ('a: {"": b}', "1:5", "bad-key"),
        ("a: b: c", "1:5", "yaml-syntax"),
        ("a:\n\tb: c", "2:1", "yaml-syntax"),
        ('a: "b', "1:4", "yaml-syntax"),
        ("a: 1\n---\nb: 2", "2:1", "yaml-documents"),
        ("a: \x00", "1:4", "yaml-syntax"),
        ("a: \ufffe", "1:4", "yaml-syntax"),
        ("a: \ud800", "1:4", "bad-encoding"),
        (b"a: 1\nb\xff", "2:2", "bad-encoding"),
        ("[" * 30, "1:25", "too-deep"),
    ],
)
def test_each_mistake_has_its_place_and_code(text, place, code):
    found = problem(text)

    assert str(found.place) == f"f.yaml:{place}"
    assert found.code == code


def test_a_second_key_names_the_first_and_the_first_counts():
    node, problems = load("f.yaml", "a: 1\na: 2")

    assert "first at f.yaml:1:1" in problems[0].what
    assert node.plain() == {"a": 1}


def test_an_unquoted_template_is_told_to_be_quoted():
    """The commonest slip of template authors is valid YAML with another meaning."""
    assert 'quote it: "{{ … }}"' in str(problem("reply: {{ x }}"))


def test_a_syntax_error_carries_a_cure():
    assert "quote text that holds ': '" in str(problem("a: b: c"))
    assert "tabs" in str(problem("a:\n\t- c"))


def test_mistakes_beside_each_other_are_all_told():
    _, problems = load("f.yaml", "a: &x 1\nb: *x\na: !t 2\n")

    assert [p.code for p in problems] == [
        "yaml-anchor",
        "yaml-alias",
        "yaml-tag",
        "duplicate-key",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a" * 101, "larger than 100 bytes"),
        ("é" * 60, "larger than 100 bytes"),
        (b"a" * 101, "larger than 100 bytes"),
        ("[a,a,a,a,a,a,a,a,a,a]", "more than 9 values"),
        ("[[[[a]]]]", "deeper than 4 levels"),
    ],
)
def test_what_is_too_large_is_refused_before_it_hurts(text, what):
    assert what in problem(text, limits=Limits(size_bytes=100, nodes=9, depth=4)).what


def test_bytes_and_a_byte_order_mark_are_read():
    assert plain("\ufeffa: é".encode()) == {"a": "é"}


def test_without_libyaml_nothing_is_read(monkeypatch):
    """The pure-Python parser refuses flow texts that the C parser takes: no silent fall-back."""
    monkeypatch.setattr(yaml, "__with_libyaml__", False)

    with pytest.raises(ImbotError, match="libyaml"):
        load("f.yaml", "a: 1")


def test_a_question_mark_in_flow_is_text():
    assert plain("{reply: Are you there?}") == {"reply": "Are you there?"}


@pytest.mark.parametrize(
    ("text", "needle", "place"),
    [
        ("a: hello {{ x }}", "{{", "1:10"),
        ('a: "hé\\n\\x41\\u00e9 {{ x }}"', "{{", "1:20"),
        ("a: 'it''s {{ x }}'", "{{", "1:11"),
        ("a: >-\n  one\n  two {{ x }}\n   more {{ y }}", "{{ y", "4:9"),
        ("a: >-\n  one\n  two {{ x }}", "{{ x", "3:7"),
        ("a: >\n  one\n\n  two {{ x }}\n", "{{ x", "4:7"),
        ("a: |  # note - this\n  one\n\n  {{ x }}\n\n", "{{ x", "4:3"),
        ("a: |2-\n     one {{ x }}\n  {{ y }}", "{{ y", "3:3"),
        ("a: |+\n  one {{ x }}\n\n", "{{ x", "2:7"),
        ("a: plain\n  over  {{ x }}\n\n  lines {{ y }}", "{{ y", "4:9"),
        ('a: "one\n  two \\\n  {{ x }} \\\n\n   \\t{{ y }}"', "{{ y", "5:6"),
        ("a: |\r\n  one\r\n  {{ x }}\r\n", "{{ x", "3:3"),
    ],
)
def test_a_place_inside_a_scalar_is_where_the_file_has_it(text, needle, place):
    """An author looks for a mistake in the file, not in what the parser made of it."""
    node, _ = load("f.yaml", text)
    value = node.get("a")
    before = value.value[: value.value.index(needle)]

    line, column = before.count("\n"), len(before) - before.rfind("\n") - 1

    assert str(value.place_at(line, column)) == f"f.yaml:{place}"


def test_a_place_outside_a_scalar_is_its_nearest_end():
    node, _ = load("f.yaml", "a: bc")

    assert str(node.get("a").place_at(7, 99)) == "f.yaml:1:6"
    assert str(node.get("a").place_at(-1, -1)) == "f.yaml:1:4"


def test_line_breaks_of_other_standards_fall_back_to_the_beginning():
    node, _ = load("f.yaml", 'a: "b \u2028 c"\nb: |\n  b\u2028  c')

    assert str(node.get("a").place_at(0, 3)) == "f.yaml:1:4"
    assert str(node.get("b").place_at(0, 2)) == "f.yaml:2:4"


@given(st.text(max_size=60), st.sampled_from(['"', "'", "|", ">", ""]), st.integers(1, 200))
def test_places_fit_for_every_text_and_style(text, style, width):
    """Whatever style the author chose, each character is found where it was written."""
    written = yaml.dump({"k": text}, default_style=style, allow_unicode=True, width=width)
    node, problems = load("f.yaml", written)
    if problems:  # the dumper falls back to escapes, but lone surrogates stay
        return
    value = node.get("k")
    offsets = yamlfile.source_offsets(value.written, value.raw, value.style)

    assert len(offsets) == len(value.raw) + 1
    assert list(offsets) == sorted(offsets)
    for char, offset in zip(value.raw, offsets, strict=False):
        if char.isalnum() and any(offsets):
            assert value.written[offset] in (char, "\\")


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_no_text_raises(text):
    node, problems = load("f.yaml", text)

    assert node is not None or problems
    for found in problems:
        assert found.place.line >= 1
        assert found.place.column >= 1


@given(st.text(alphabet="ab:-[]{},?&*!|>'\"%#\n \t01.<~", max_size=80))
def test_no_arrangement_of_yaml_signs_raises(text):
    node, problems = load("f.yaml", text)

    assert node is not None or problems


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(max_size=10)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcxyz", min_size=1, max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


_CONTROL = re.compile("[\x7f-\x9f\ufeff\ufffe\uffff]")


def _escaped(match):
    return f"\\u{ord(match[0]):04x}"


@given(_values)
def test_what_was_dumped_as_json_is_read_back(value):
    """JSON is YAML 1.2; machine-written files must come through."""
    read = plain(_CONTROL.sub(_escaped, json.dumps(value, ensure_ascii=False)))

    assert read == value


def test_a_forbidden_character_is_named_at_its_place():
    """The parser counts bytes; an umlaut before it must not move the place."""
    assert str(problem('é: "ü \x10"')) == (
        "f.yaml:1:7: error[yaml-syntax]: no YAML: the character U+0010 is forbidden; "
        "remove it, or write it as \\x… or \\u… in double quotes"
    )


def test_a_long_text_is_walked_once_for_all_its_mistakes():
    """A walk for each would make a file of 16 KiB cost seconds."""
    node, _ = load("f.yaml", "k: |\n" + "  some text\n" * 500)
    yamlfile.source_offsets.cache_clear()

    places = [node.get("k").place_at(line, 5) for line in range(500)]

    assert [str(place) for place in places[:2]] == ["f.yaml:2:8", "f.yaml:3:8"]
    assert yamlfile.source_offsets.cache_info().misses == 1


def test_what_turns_the_direction_of_text_is_escaped_where_it_is_written():
    """A reader of the file must see what stands there, and a loader read the same."""
    value = {"text": "a\u202eb\u200f", "plain": "ä “x”", "\u2066key": "x" * 200 + "\u200b y"}

    text = dump(value)

    assert not set(text) & set("\u202e\u200f\u2066\u200b")
    assert "ä “x”" in text
    assert load("f.yaml", text)[0].plain() == value


@pytest.mark.parametrize("hidden", ["\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a:\n{}  - b: 1\n", "2:1"),
        ("# a comment{}b: 1\n", "1:12"),
        ("a: 1{}b: 2\n", "1:5"),
        ("a: {{b: 1,{} c: 2}}\n", "1:10"),
        ("a: 1\n{}", "2:1"),
    ],
)
def test_a_line_break_that_nobody_sees_is_told(hidden, text, place):
    """What stands behind it would be read as the next line, and no editor shows it there."""
    _, problems = load("f.yaml", text.format(hidden))

    assert [str(each.place) for each in problems] == [f"f.yaml:{place}"]
    assert f"U+{ord(hidden):04X} stands here, which nobody sees" in str(problems[0])


def test_a_line_break_that_nobody_sees_may_stand_in_a_text():
    node, problems = load("f.yaml", 'a: "b\u2028c"\nd: 1\n')

    assert not problems
    assert node.get("d").value == 1
