"""``complete``: the end of a session, and why."""

import pytest
from pydantic import ValidationError

from imbot.plugin import Operation, TemporaryError
from imbot.testing.plugin_context import Asked, FakeContext


@pytest.mark.parametrize("reason", ["after-hours", 7])
async def test_the_reason_is_left_before_the_session_ends(actions, reason):
    """Afterwards nobody can write it."""
    fake = FakeContext(reason_key="why")

    await fake.run(actions["complete"], reason)

    assert fake.asked == [
        Asked("update_user_data", {"user_data": {"why": str(reason)}}),
        Asked("complete", {}),
    ]
    assert fake.session["state"] == "Completed"


async def test_without_a_reason_nothing_is_left(actions, fake):
    """An empty reason is none."""
    await fake.run(actions["complete"], "")

    assert fake.asked == [Asked("complete", {})]


async def test_a_session_whose_reason_cannot_be_written_does_not_end_yet(actions):
    """The step is tried again as a whole."""
    fake = FakeContext(failures={"update_user_data": TemporaryError("busy")})

    with pytest.raises(TemporaryError):
        await fake.run(actions["complete"], "idle")

    assert fake.session["state"] == "Talking"


@pytest.mark.parametrize("args", [None, True, {}, []])
def test_a_reason_is_text(actions, args):
    """`complete:` alone is a slip of the pen."""
    with pytest.raises(ValidationError):
        actions["complete"].args.model_validate(args)


def test_it_may_be_repeated_and_needs_its_operation(actions):
    """A session that is over already counts as ended."""
    complete = actions["complete"]

    assert complete.repeatable(complete.args("x"))
    assert complete.needs is Operation.COMPLETE
