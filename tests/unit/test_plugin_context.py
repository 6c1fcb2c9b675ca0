"""The fake that plugin authors test with keeps what the real doors promise."""

import pytest
from pydantic import BaseModel, ValidationError

from imbot.plugin import PermanentError, TemporaryError, action
from imbot.testing.plugin_context import Asked, FakeContext, answer


class Args(BaseModel):
    text: str = "a"


class Result(BaseModel):
    n: int


@action("x.do", args=Args, result=Result)
async def do(_ctx, args):
    """Return the arguments, or what is no result."""
    return Result(n=1) if args.text == "a" else {"n": args.text}


async def test_arguments_and_results_are_held_against_the_models():
    """As the engine and the rules do."""
    fake = FakeContext()

    assert await fake.run(do, {}) == {"n": 1}
    assert await fake.run(do, {"text": "2"}) == {"n": "2"}
    with pytest.raises(ValidationError):
        await fake.run(do, {"txt": 1, "text": []})
    with pytest.raises(ValidationError):
        await fake.run(do, {"text": "b"})


async def test_the_session_changes_as_a_real_one_would():
    """So that a test can look at the end and not at each call."""
    fake = FakeContext()
    im = fake.context.im

    await im.update_user_data({"a": "1", "b": "2"})
    await im.delete_user_data("a")
    await im.delete_user_data("a")
    await im.send_message("Hi")
    await im.complete()

    assert fake.session["userData"] == {"b": "2"}
    assert fake.session["state"] == "Completed"
    assert [asked.what for asked in fake.asked] == [
        *("update_user_data", "delete_user_data", "delete_user_data", "send_message", "complete")
    ]


async def test_every_begun_session_has_an_id_of_its_own():
    """And our agent, unless another was named; without one it is bot1."""
    fake = FakeContext(agent=None)
    im = fake.context.im

    assert await im.initiate("3003") == {"id": "begun-1", "agent": "bot1"}
    assert await im.initiate("3003", agent="bot2") == {"id": "begun-2", "agent": "bot2"}


async def test_without_a_session_there_is_nothing_to_act_on():
    """An event may have none; the real door says the same."""
    im = FakeContext(session=None).context.im

    for call in (
        im.send_message("a"),
        im.update_user_data({}),
        im.delete_user_data("a"),
        im.complete(),
    ):
        with pytest.raises(PermanentError, match="there is no session to act on"):
            await call


async def test_a_failing_method_changes_nothing_but_was_asked():
    """What the action does next is the test."""
    fake = FakeContext(failures={"complete": TemporaryError("busy")})

    with pytest.raises(TemporaryError):
        await fake.context.im.complete()

    assert fake.session["state"] == "Talking"
    assert fake.asked == [Asked("complete", {})]


async def test_http_answers_come_in_order_and_errors_are_raised():
    """A request too many fails the test, whatever the action catches."""
    fake = FakeContext(answers=[answer({"a": 1}), TemporaryError("refused")])
    http = fake.context.http

    first = await http.request("get", "https://a", headers={})
    with pytest.raises(TemporaryError):
        await http.request("POST", "https://a", json=1, timeout_s=3)
    with pytest.raises(AssertionError, match="no answer is left for GET https://b"):
        await http.request("GET", "https://b")

    assert (first.status, first.json, first.text) == (200, {"a": 1}, '{"a":1}')
    assert fake.asked[:2] == [
        Asked("GET", {"url": "https://a"}),
        Asked("POST", {"url": "https://a", "json": 1, "timeout_s": 3}),
    ]


def test_no_two_contexts_share_a_session():
    """A test must not see what another one wrote."""
    one, other = FakeContext(), FakeContext()
    one.session["userData"]["a"] = "b"

    assert other.session["userData"] == {}
