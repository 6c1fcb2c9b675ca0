"""``http``: one request, and what its answer means."""

import pytest
from pydantic import ValidationError

from imbot.plugin import AmbiguousError, PermanentError, TemporaryError
from imbot.testing.plugin_context import Asked, FakeContext, answer

URL = "https://crm.example/a"


async def test_a_request_is_sent_as_written_and_its_answer_returned(actions):
    """The result is what later steps see."""
    fake = FakeContext(answers=[answer({"id": 7}, 201, headers={"x-a": "b"})])
    args = {
        "post": URL,
        "headers": {"X-Number": 7},
        "json": {"n": 1},
        "idempotency_key": "k",
        "expect": [201, "4xx"],
    }
    result = await fake.run(actions["http"], args)

    assert fake.asked == [
        Asked(
            "POST",
            {"url": URL, "headers": {"X-Number": "7"}, "json": {"n": 1}, "idempotency_key": "k"},
        )
    ]
    assert result == {
        "status": 201,
        "headers": {"x-a": "b"},
        "text": '{"id":7}',
        "json": {"id": 7},
    }


async def test_a_form_is_sent_as_text(actions):
    """Forms know nothing else."""
    fake = FakeContext(answers=[answer()])

    await fake.run(actions["http"], {"put": URL, "form": {"a": 1}})

    assert fake.asked == [Asked("PUT", {"url": URL, "form": {"a": "1"}})]


@pytest.mark.parametrize(
    ("method", "key", "repeatable"),
    [
        ("get", None, True),
        ("put", None, True),
        ("delete", None, True),
        ("post", None, False),
        ("patch", None, False),
        ("post", "k", True),
        ("patch", "k", True),
    ],
)
def test_post_and_patch_are_repeatable_with_an_idempotency_key_only(
    actions, method, key, repeatable
):
    """Without one, the other side cannot tell the second from the first."""
    http = actions["http"]

    args = http.args.model_validate({method: URL, "idempotency_key": key})

    assert http.repeatable(args) is repeatable


@pytest.mark.parametrize(
    ("method", "status", "kind"),
    [
        ("get", 404, PermanentError),
        ("get", 429, TemporaryError),
        ("get", 500, TemporaryError),
        ("post", 500, AmbiguousError),
    ],
)
async def test_a_status_that_is_not_expected_fails_the_step(actions, method, status, kind):
    """The kind decides whether it is tried again."""
    fake = FakeContext(answers=[answer(status=status)])

    with pytest.raises(kind, match=f"HTTP {status}"):
        await fake.run(actions["http"], {method: URL})


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({}, "name exactly one of get, post, put, patch, delete"),
        ({"get": URL, "post": URL}, "name exactly one of"),
        ({"post": URL, "json": 1, "form": {}}, "send json or form, not both"),
        ({"get": URL, "expect": ["2x"]}, "expect"),
        ({"get": URL, "expect": [7]}, "expect"),
        ({"get": URL, "expect": []}, "expect"),
        ({"get": URL, "header": {}}, "header"),
    ],
)
def test_wrong_arguments_are_refused(actions, args, why):
    """At check."""
    with pytest.raises(ValidationError, match=why):
        actions["http"].args.model_validate(args)
