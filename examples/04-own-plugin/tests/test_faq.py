"""The plugin as its rules use it, without imbot around it."""
# ruff: noqa: S101  pytest's assert is the point

import pytest
from imbot_faq import Options, answer, self_check

from imbot.plugin import PluginError
from imbot.testing.plugin_context import Asked, FakeContext

OPTIONS = Options(answers={"opening hours": "Monday to Friday, 8 to 18.", "parking": "Behind."})


async def test_a_known_topic_is_answered_and_noted() -> None:
    """In any case, anywhere in the question."""
    fake = FakeContext(options=OPTIONS)

    result = await fake.run(answer, {"text": "What are your OPENING HOURS?"})

    assert result == {"found": True, "topic": "opening hours"}
    assert fake.asked == [
        Asked("send_message", {"text": "Monday to Friday, 8 to 18."}),
        Asked("update_user_data", {"user_data": {"faq": "opening hours"}}),
    ]


async def test_an_unknown_question_is_left_to_the_rule() -> None:
    """Nothing is said that nobody wrote."""
    fake = FakeContext(options=OPTIONS)

    assert await fake.run(answer, {"text": "Why?"}) == {"found": False, "topic": ""}
    assert fake.asked == []


async def test_a_topic_without_an_answer_is_told_before_the_start() -> None:
    """A customer would have found it."""
    await self_check(OPTIONS)

    with pytest.raises(PluginError, match="no answer to: parking"):
        await self_check(Options(answers={"parking": " "}))
