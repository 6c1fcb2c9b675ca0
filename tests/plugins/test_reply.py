"""``reply``: what the other party reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from imbot.plugin import Operation, PermanentError
from imbot.pluginhost import PluginSettings, find_plugins
from imbot.testing.plugin_context import Asked, FakeContext


def said(fake):
    """Return the texts that were sent."""
    return [asked.given["text"] for asked in fake.asked]


@pytest.mark.parametrize(
    ("args", "given"),
    [
        ("Hello", {"text": "Hello"}),
        ({"text": "Hello"}, {"text": "Hello"}),
        ({"text": "Hello", "to": "3003"}, {"text": "Hello", "to": "3003"}),
        ({"text": 7, "to": 3003}, {"text": "7", "to": "3003"}),
        (7, {"text": "7"}),
        ("  Hello\n", {"text": "Hello"}),
    ],
)
async def test_a_text_is_said_to_the_other_party(actions, fake, args, given):
    """In the short form or the long one; a template may bring a number."""
    await fake.run(actions["reply"], args)

    assert fake.asked == [Asked("send_message", given)]


@pytest.mark.parametrize("args", [None, [], {}, {"txt": "a"}, {"text": None}, True])
def test_what_is_no_text_is_refused(actions, args):
    """At check, as far as it is written out."""
    with pytest.raises(ValidationError):
        actions["reply"].args.model_validate(args)


async def test_an_empty_text_is_a_permanent_error(actions, fake):
    """GWS would refuse it with less to say."""
    with pytest.raises(PermanentError, match="reply: the text is empty"):
        await fake.run(actions["reply"], " \n")

    assert fake.asked == []


def test_it_is_never_repeated_blindly_and_needs_a_session_that_talks(actions):
    """Twice is worse than not knowing."""
    reply = actions["reply"]

    assert not reply.repeatable(reply.args(text="a"))
    assert reply.needs is Operation.SEND_MESSAGE


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("one two three", ["one two", "three"]),
        ("one two\nthree", ["one two", "three"]),
        ("one two  three", ["one two", "three"]),
        ("0123456789", ["01234567", "89"]),
        ("a 123456789", ["a 123456", "789"]),
        ("äöüäöü", ["äöüä", "öü"]),
        ("😀😀😀", ["😀😀", "😀"]),
    ],
)
async def test_a_long_text_is_cut_at_white_space_where_possible(actions, text, pieces):
    """Limits count bytes, readers words; no character is cut in two."""
    fake = FakeContext(message_limit_bytes=8)

    await fake.run(actions["reply"], text)

    assert said(fake) == pieces


async def test_the_pieces_are_said_in_order(actions):
    """One reply, several messages."""
    fake = FakeContext(message_limit_bytes=8)

    await fake.run(actions["reply"], "one two three four")

    assert [asked.given for asked in fake.asked] == [
        {"text": "one two"},
        {"text": "three"},
        {"text": "four"},
    ]


pieces = find_plugins(PluginSettings()).actions["reply"].run.__globals__["pieces"]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(4, 40))
def test_pieces_lose_nothing_but_white_space_and_fit(text, limit_bytes):
    """Nor is there an empty one between them."""
    cut = pieces(text, limit_bytes)

    assert "".join("".join(cut).split()) == "".join(text.split())
    assert all(len(piece.encode()) <= limit_bytes for piece in cut)
    assert all(cut) or cut == [""]
