"""``set`` and ``unset``: user data as GWS keeps it."""

import pytest
from pydantic import ValidationError

from imbot.plugin import Operation, PermanentError
from imbot.testing.plugin_context import Asked


async def test_user_data_is_set_in_one_go_as_text(actions, fake):
    """One write for a step, however many keys; numbers and flags as rules write them."""
    await fake.run(actions["set"], {"greeted": True, "n": 7, "deep": {"a": 1.5}})

    written = {"greeted": "true", "n": "7", "deep": {"a": "1.5"}}
    assert fake.asked == [Asked("update_user_data", {"user_data": written})]
    assert fake.session["userData"] == written


@pytest.mark.parametrize("value", [None, [1]])
async def test_what_user_data_cannot_hold_fails_the_step(actions, fake, value):
    """A missing value must not be written as `None`."""
    with pytest.raises(PermanentError, match="user data 'a' must be text"):
        await fake.run(actions["set"], {"b": "x", "a": value})

    assert fake.asked == []


async def test_keys_are_removed_one_by_one(actions, fake):
    """GWS has no other way."""
    fake.session["userData"] = {"a": "1", "b": "2", "c": "3"}

    await fake.run(actions["unset"], ["a", "b"])

    assert fake.asked == [
        Asked("delete_user_data", {"key": "a"}),
        Asked("delete_user_data", {"key": "b"}),
    ]
    assert fake.session["userData"] == {"c": "3"}


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("set", {}),
        ("set", {"": "x"}),
        ("set", "a"),
        ("set", None),
        ("unset", []),
        ("unset", [""]),
        ("unset", "a"),
    ],
)
def test_a_step_without_keys_is_refused(actions, name, args):
    """It would do nothing, and look as if it did."""
    with pytest.raises(ValidationError):
        actions[name].args.model_validate(args)


def test_both_may_be_repeated_and_need_their_operation(actions):
    """Written twice, it is as written once."""
    assert actions["set"].repeatable(actions["set"].args({"a": "b"}))
    assert actions["unset"].repeatable(actions["unset"].args(["a"]))
    assert actions["set"].needs is Operation.UPDATE_USER_DATA
    assert actions["unset"].needs is Operation.DELETE_USER_DATA
