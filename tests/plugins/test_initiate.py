"""``initiate``: a session that we begin."""

import pytest
from pydantic import ValidationError

from imbot.plugin import Operation, PermanentError, TemporaryError
from imbot.testing.plugin_context import Asked, FakeContext


@pytest.mark.parametrize(
    ("args", "given"),
    [
        ({"to": "3003"}, {"to": "3003", "user_data": {}}),
        (
            {"to": 3003, "userData": {"n": 7}, "agent": "any"},
            {"to": "3003", "user_data": {"n": "7"}, "agent": "any"},
        ),
    ],
)
async def test_a_session_is_begun_and_returned(actions, fake, args, given):
    """Its user data is text from the start."""
    result = await fake.run(actions["initiate"], args)

    assert fake.asked == [Asked("initiate", given)]
    assert result == {"id": "begun-1", "agent": "bot1"}


async def test_another_agent_may_begin_it(actions, fake):
    """By its user name."""
    result = await fake.run(actions["initiate"], {"to": "3003", "agent": "bot2"})

    assert result["agent"] == "bot2"


async def test_busy_agents_and_odd_user_data_fail_the_step(actions):
    """The one may pass, the other will not."""
    busy = FakeContext(failures={"initiate": TemporaryError("every agent is busy")})

    with pytest.raises(TemporaryError):
        await busy.run(actions["initiate"], {"to": "3003"})
    with pytest.raises(PermanentError):
        await FakeContext().run(actions["initiate"], {"to": "3003", "userData": {"a": None}})


@pytest.mark.parametrize("args", [{}, {"to": ""}, {"to": "1", "userdata": {}}, "3003"])
def test_wrong_arguments_are_refused(actions, args):
    """At check."""
    with pytest.raises(ValidationError):
        actions["initiate"].args.model_validate(args)


def test_it_is_never_repeated_blindly(actions):
    """At most once: a second ring is worse than none."""
    initiate = actions["initiate"]

    assert not initiate.repeatable(initiate.args(to="1"))
    assert initiate.needs is Operation.INITIATE
