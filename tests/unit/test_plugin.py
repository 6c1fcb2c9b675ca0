"""The contract for plugin authors: what a declaration accepts, and what it refuses."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from imbot.plugin import (
    AmbiguousError,
    HttpAnswer,
    Operation,
    PermanentError,
    Plugin,
    PluginError,
    TemporaryError,
    action,
    as_user_data,
)


class Args(BaseModel):
    text: str = ""


def not_async(*_given):
    """Stand where an async function should."""


async def check(_options): ...


async def say(ctx, args):
    """Say it.

    Loudly.
    """


def declared(name="notify.send", run=say, **given):
    """Return an action."""
    return action(name, **{"args": Args, **given})(run)


def test_an_action_knows_its_name_models_and_limits():
    """Rules are checked against them."""
    one = declared(result=Args, deadline_s=3.0, needs=Operation.COMPLETE)

    assert (one.name, one.args, one.result) == ("notify.send", Args, Args)
    assert (one.deadline_s, one.needs, one.run) == (3.0, Operation.COMPLETE, say)
    assert one.summary == "Say it."


def test_an_action_without_a_docstring_has_no_summary():
    """Nothing to show is no reason to fail."""

    async def silent(ctx, args): ...

    assert declared(run=silent).summary == ""


@pytest.mark.parametrize(
    ("repeatable", "expected"),
    [(False, False), (True, True), (lambda args: args.text == "x", True)],
)
def test_whether_an_action_is_repeatable_may_depend_on_its_arguments(repeatable, expected):
    """A PUT may be sent twice, a POST may not."""
    assert declared(repeatable=repeatable).repeatable(Args(text="x")) is expected


@pytest.mark.parametrize("name", ["reply", "crm.lookup", "a_b.c_d", "X1"])
def test_names_of_actions_are_a_word_or_two(name):
    """As rules write them."""
    assert declared(name).name == name


@pytest.mark.parametrize("name", ["", "a.b.c", ".a", "a.", "a b", "1a", "_a", "ä", "a-b", "a\n"])
def test_other_names_of_actions_are_refused(name):
    """No rule could write them."""
    with pytest.raises(PluginError, match=r"action name .* write 'word'"):
        declared(name)


@pytest.mark.parametrize("name", ["if", "let", "wait_for", "timeout", "as", "log"])
def test_words_of_the_rule_language_are_no_names(name):
    """A step of that name would never run."""
    with pytest.raises(PluginError, match="a meaning of its own"):
        declared(name)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"deadline_s": 0}, "must be more than 0, not 0"),
        ({"args": dict}, "is no pydantic model"),
        ({"args": Args()}, "is no pydantic model"),
        ({"result": str}, "is no pydantic model"),
        ({"run": not_async}, "declare it on an 'async def'"),
    ],
)
def test_a_declaration_that_could_not_work_is_refused(given, why):
    """At import, where its author sees it, and not at the first customer."""
    with pytest.raises(PluginError, match=why):
        declared(**given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"name": "a b"}, "plugin name 'a b': write letters"),
        ({"name": ""}, "plugin name ''"),
        ({"actions": (say,)}, "is no action; declare it with @action"),
        ({"actions": (declared("a"), declared("a"))}, "an action stands twice among a, a"),
        ({"self_check": not_async}, "declare self_check as an 'async def'"),
    ],
)
def test_a_plugin_that_could_not_work_is_refused(given, why):
    """The same."""
    with pytest.raises(PluginError, match=why):
        Plugin(**{"name": "notify", **given})


def test_a_plugin_gathers_actions_options_and_a_self_check():
    """All of them may be left out but the name."""
    one = Plugin("my-notify", actions=(declared(),), options=Args, self_check=check)

    assert [action.name for action in one.actions] == ["notify.send"]
    assert Plugin("x").actions == ()


# HTTP answers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expect"), [(204, ("2xx",)), (404, ("2xx", 404)), (404, ("404",)), (409, ("4XX",))]
)
def test_an_expected_status_is_fine(status, expect):
    """Written as a number, as text, or as a class."""
    HttpAnswer(status, {}, "").require(expect)


@pytest.mark.parametrize(
    ("status", "repeatable", "kind"),
    [
        (408, True, TemporaryError),
        (429, False, TemporaryError),
        (500, True, TemporaryError),
        (503, False, AmbiguousError),
        (302, True, PermanentError),
        (404, True, PermanentError),
    ],
)
def test_the_status_decides_what_happens_next(status, repeatable, kind):
    """A server error may come after the effect; only a repeatable request is sent again."""
    with pytest.raises(kind, match=f"HTTP {status}, expected 2xx"):
        HttpAnswer(status, {}, "").require(repeatable=repeatable)


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("²", None),
        ("9" * 400, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_the_pause_that_is_asked_for_is_kept_if_it_is_a_sane_number(asked, seconds):
    """A pause for ever would be a way to stop us."""
    with pytest.raises(TemporaryError) as caught:
        HttpAnswer(429, {"retry-after": asked}, "").require()

    assert caught.value.retry_after_s == seconds


# User data ------------------------------------------------------------------------------------


def test_user_data_is_text_or_a_mapping_of_it():
    """GWS keeps nothing else."""
    given = {
        "text": "a",
        "yes": True,
        "no": False,
        "whole": 7,
        "part": 1.5,
        "at": datetime(2026, 3, 2, 9, tzinfo=UTC),
        "deep": {"n": 1},
    }
    assert as_user_data(given) == {
        "text": "a",
        "yes": "true",
        "no": "false",
        "whole": "7",
        "part": "1.5",
        "at": "2026-03-02T09:00:00+00:00",
        "deep": {"n": "1"},
    }


@pytest.mark.parametrize("value", [None, [1], {"b": None}, object()])
def test_what_user_data_cannot_hold_is_refused_by_name(value):
    """`None` as text would be found years later in a report."""
    with pytest.raises(PermanentError, match=r"user data 'a(\.b)?' must be text, a number"):
        as_user_data({"a": value})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=3),
    )
)
def test_every_value_becomes_text_or_a_permanent_error(value):
    """Nothing in between reaches the wire."""

    def is_text(part):
        return isinstance(part, str) or all(map(is_text, part.values()))

    try:
        assert is_text(as_user_data({"a": value}))
    except PermanentError:
        assert value is None or isinstance(value, list | dict)
