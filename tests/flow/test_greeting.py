"""What the shipped greeting does, from ring to goodbye."""

import pytest
from tests.flow.stage import GREETING

pytestmark = pytest.mark.looptime(noop_cycles=1)


async def test_a_caller_is_greeted_tagged_and_sent_off(stage):
    """The whole of imbot in one conversation."""
    await stage.start(GREETING)
    call = stage.ring("3001")
    await stage.seconds(2)
    assert call.heard == ["Hello 3001, you reached Robin. How can I help?"]
    assert call.user_data == {"greeted": "yes"}

    call.say("Thanks, that is all")
    await stage.seconds(2)

    assert call.heard[1:] == ["Thank you, and goodbye."]
    assert call.user_data == {"greeted": "yes", "closedBy": "bot", "imbot.reason": "goodbye"}
    assert call.is_over
