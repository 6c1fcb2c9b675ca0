"""What GWS says that is not documented: found in every place, told once, counted each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from imbot.gws.undocumented import TOLD_AT_MOST, Kind, Undocumented, undocumented
from imbot.jsontext import encode_json

SESSION = {
    "state": " talking",
    "id": "1",
    "uri": "http://gws.example/api/v2/im-sessions/1",
    "path": "/im-sessions/1",
    "userData": {"anything": "at all"},
    "participants": [{"digits": "3002"}],
    "capabilities": ["Complete"],
}
CHANGE = {
    "messageType": "IMSessionStateChangeMessage",
    "notificationType": "StatusChange",
    "imSession": SESSION,
    "metrics": {"eventProcessing": {}},
}
MESSAGE = {
    "messageType": "IMLogUpdateMessage",
    "notificationType": "NewMessage",
    "imSessionPath": "/im-sessions/1",
    "message": "hello",
}
CALL = {"channel": "/v2/me/calls", "data": {"messageType": "CallStateChangeMessage", "call": {}}}

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["messageType", "notificationType", "imSession", "state", "data", "x"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def wrapped(body):
    return {"channel": "/v2/me/im-sessions", "data": body}


@pytest.mark.parametrize("body", [CHANGE, MESSAGE, "no object", [], {}])
def test_what_is_documented_is_passed_over(body):
    """An alert that always fires is switched off."""
    assert list(undocumented(wrapped(body))) == []
    assert list(undocumented(body)) == []


def test_what_is_not_about_im_sessions_is_passed_over():
    """There is a subscription, and none of it is read."""
    assert list(undocumented(CALL)) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({**CHANGE, "messageType": "IMTypingMessage"}, (Kind.MESSAGE_TYPE, "IMTypingMessage")),
        ({**MESSAGE, "notificationType": "Seen"}, (Kind.NOTIFICATION_TYPE, "Seen")),
        ({**MESSAGE, "direction": "in"}, (Kind.FIELD, "direction")),
        ({**CHANGE, "imSession": {**SESSION, "state": " Held"}}, (Kind.STATE, "Held")),
        ({**CHANGE, "imSession": {**SESSION, "queue": "q"}}, (Kind.FIELD, "queue")),
    ],
)
def test_each_kind_is_found(body, found):
    assert list(undocumented(wrapped(body))) == [found]
    assert list(undocumented({"data": encode_json(body).decode()})) == [found]


def test_a_word_is_told_once_and_counted_each_time():
    """A GWS that was upgraded says it with every message."""
    heard = Undocumented()
    with capture_logs() as logs:
        for agent in ("bot1", "bot2"):
            heard.note(wrapped({**MESSAGE, "direction": "in"}), agent)

    assert logs == [
        {
            "event": "gws.undocumented",
            "log_level": "warning",
            "agent": "bot1",
            "kind": "field",
            "word": "direction",
        }
    ]
    assert heard.counts == {
        "field": 2,
        "state": 0,
        "message type": 0,
        "notification type": 0,
    }


def test_who_makes_up_words_does_not_fill_the_log():
    heard = Undocumented()
    with capture_logs() as logs:
        for number in range(3 * TOLD_AT_MOST):
            heard.note(wrapped({**MESSAGE, "messageType": f"T{number}"}), "bot1")

    assert len(logs) == TOLD_AT_MOST
    assert heard.counts["message type"] == 3 * TOLD_AT_MOST


def test_what_is_told_is_short_and_breaks_no_line():
    word = "a\x1b[31m\n" + "b" * 1000
    ((_, told),) = undocumented(wrapped({**MESSAGE, "notificationType": word}))

    assert len(told) <= 64
    assert "\x1b" not in told


@given(JSONS)
def test_nothing_raises(element):
    """Whatever comes over the wire."""
    for kind, word in undocumented(element):
        assert kind in Kind
        assert len(word) <= 64
