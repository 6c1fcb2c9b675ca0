"""Credentials go out unasked, and never show."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import ConfigError, TemporaryError
from imbot.gws.auth import Basic, BasicEncoding, Bearer, Cookies, Headers


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [(BasicEncoding.UTF_8, "bot:pä".encode()), (BasicEncoding.ISO_8859_1, b"bot:p\xe4")],
)
def test_basic_is_written_in_the_encoding_asked_for(encoding, expected):
    """What GWS expects beyond ASCII is not documented, so it is a switch."""
    header = Basic("bot", "pä", encoding).headers()["Authorization"]

    assert base64.b64decode(header.removeprefix("Basic ")) == expected


@given(st.text(st.characters(codec="utf-8", exclude_characters=":")), st.text(st.characters()))
def test_basic_gives_back_what_went_in_or_is_refused_when_made(user, password):
    """A password that can not be sent must show at the start, not at the login."""
    if any("\ud800" <= char <= "\udfff" for char in password):
        with pytest.raises(ConfigError):
            Basic(user, password)
        return
    header = Basic(user, password).headers()["Authorization"]

    assert base64.b64decode(header.removeprefix("Basic ")).decode() == f"{user}:{password}"


def test_a_character_beyond_the_encoding_is_refused_without_showing_it():
    """The cause of the encoding error would carry the password into a log."""
    with pytest.raises(ConfigError, match="iso-8859-1") as caught:
        Basic("bot", "s€cret", BasicEncoding.ISO_8859_1)

    assert caught.value.__cause__ is None
    assert "s€cret" not in str(caught.value)


def test_a_user_with_a_colon_is_refused():
    """Basic has no way to write it; GWS would see another user."""
    with pytest.raises(ConfigError, match="colon"):
        Basic("a:b", "pw")


def test_a_bearer_token_is_asked_for_each_time():
    """Tokens are renewed while the agent runs."""
    tokens = iter(["one\n", "two"])
    auth = Bearer(lambda: next(tokens))

    assert [auth.headers()["Authorization"] for _ in range(2)] == ["Bearer one", "Bearer two"]


@pytest.mark.parametrize("token", ["", "  ", "a\nb", "tök"])
def test_an_unusable_token_is_a_temporary_error(token):
    with pytest.raises(TemporaryError, match="bearer token"):
        Bearer(lambda: token).headers()


def test_a_token_that_can_not_be_read_is_a_temporary_error():
    """The file may come back; the agent goes on trying."""

    def unreadable():
        raise FileNotFoundError("/run/secrets/bot")

    with pytest.raises(TemporaryError, match="/run/secrets/bot"):
        Bearer(unreadable).headers()


def test_cookies_become_one_header():
    assert Cookies({"a": "1", "b": "2"}).headers() == {"Cookie": "a=1; b=2"}


def test_headers_go_out_as_they_are():
    assert Headers({"X-User": "bot 1"}).headers() == {"X-User": "bot 1"}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cookies({"a": "1; b=2"}),
        lambda: Cookies({"a": "1\r\nX: y"}),
        lambda: Headers({"X": "1\r\nY: 2"}),
        lambda: Headers({"X:": "1"}),
        lambda: Headers({"X": "ä"}),
    ],
)
def test_what_could_smuggle_a_header_is_refused(make):
    with pytest.raises(ConfigError, match="HTTP header"):
        make()


@pytest.mark.parametrize(
    "auth",
    [
        Basic("bot", "hush"),
        Bearer(lambda: "hush"),
        Cookies({"a": "hush"}),
        Headers({"Authorization": "hush"}),
    ],
)
def test_no_secret_shows_in_a_repr(auth):
    """Values are logged and shown in tracebacks."""
    assert "hush" not in repr(auth)
