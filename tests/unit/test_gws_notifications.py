"""Every row of the contract's tolerance table that concerns parsing, and total on any JSON."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.gws.notifications import (
    MAX_DEPTH,
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    Device,
    DeviceNotice,
    bounded,
    clean_text,
    heard,
    parse_annex,
    parse_devices,
    parse_me,
    parse_session,
    parse_sessions,
    session_ids,
)
from imbot.jsontext import encode_json
from imbot.model import FaultNotice, ImSession, MessageNotice, Participant, SessionNotice

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CHANNEL = "/v2/me/im-sessions"
SESSION = {
    "id": "S1",
    "state": "Talking",
    "path": "/im-sessions/S1",
    "uri": "http://inner:8090/api/v2/im-sessions/S1",
    "userData": {"k": "v"},
    "participants": [
        {"phoneNumber": "3002", "digits": "3002", "e164Number": "", "formattedPhoneNumber": "3002"}
    ],
    "capabilities": ["SendMessage", "Complete"],
}
SHOWN = ImSession(
    id="S1",
    state="Talking",
    user_data={"k": "v"},
    participants=(Participant("3002", "3002", "", "3002"),),
    capabilities=("SendMessage", "Complete"),
)


def state(session=None, **more):
    """Return the notices of a state change of such a session."""
    body = {"messageType": "IMSessionStateChangeMessage", "notificationType": "StatusChange"}
    body |= {"imSession": {**SESSION, **(session or {})}, **more}
    return heard({"channel": CHANNEL, "data": body}, received_at=NOW)


def shown(session):
    """Return the session that such a change shows."""
    (notice,) = state(session)
    return notice.session


def log(message, **more):
    """Return the notices of a log update with such a message."""
    body = {"messageType": "IMLogUpdateMessage", "notificationType": "NewMessage"}
    body |= {"imSessionPath": "/im-sessions/S1", "message": message, **more}
    return heard({"channel": CHANNEL, "data": body}, received_at=NOW)


def test_a_documented_state_change_is_read_whole():
    assert state() == (SessionNotice(SHOWN, NOW, "StatusChange"),)


def test_a_documented_message_is_read_whole():
    assert log("hello") == (MessageNotice("S1", "hello", NOW),)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (" Talking", "Talking"),
        ("talking", "Talking"),
        ("COMPLETED ", "Completed"),
        (" Held ", "Held"),
        (None, ""),
        (7, "7"),
    ],
)
def test_row_1_a_state_is_stripped_and_folded_and_an_unknown_one_kept(written, read):
    assert shown({"state": written}).state == read
    assert not shown({"state": " Held "}).is_completed


def test_row_2_ids_that_disagree_become_aliases():
    session = shown({"path": "/im-sessions/123", "uri": "http://x/api/v2/im-sessions/ABC"})

    assert (session.id, session.aliases) == ("S1", ("123", "ABC"))


@pytest.mark.parametrize("name", ["path", "uri"])
def test_row_2_without_an_id_the_path_or_uri_names_the_session(name):
    only = {"id": None, "path": None, "uri": None, name: "/x/im-sessions/77/"}

    assert shown(only).id == "77"


def test_row_2_a_session_without_any_name_is_nothing():
    assert state({"id": None, "path": None, "uri": ""}) == ()


@pytest.mark.parametrize("path", ["/im-sessions/S1", "/imsessions/S1", "S1", "/im-sessions/S1?x=/"])
def test_row_3_only_the_last_segment_of_a_path_counts(path):
    assert log("x", imSessionPath=path)[0].session_id == "S1"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: {"channel": CHANNEL, "data": body},
        lambda body: {"channel": CHANNEL, "data": encode_json(body).decode()},
        lambda body: {"channel": CHANNEL, **body},
        lambda body: {"channel": CHANNEL, "data": {}, **body},
        lambda body: {"channel": CHANNEL, "data": None, **body},
        lambda body: {"channel": CHANNEL, "data": "{no json", **body},
        lambda body: {"channel": CHANNEL, "data": "[]", **body},
    ],
)
def test_row_4_the_envelope_may_be_text_or_missing(wrap):
    body = {"messageType": "IMSessionStateChangeMessage", "imSession": SESSION}

    assert heard(wrap(body), received_at=NOW) == (SessionNotice(SHOWN, NOW, "StatusChange"),)


def test_row_5_the_path_may_stand_outside_the_data():
    body = {"messageType": "IMLogUpdateMessage", "message": "x"}
    element = {"channel": CHANNEL, "data": body, "imSessionPath": "/im-sessions/S9"}

    assert heard(element, received_at=NOW) == (MessageNotice("S9", "x", NOW),)


@pytest.mark.parametrize(
    "named",
    [
        {"imSessionUri": "http://x/api/v2/im-sessions/S9"},
        {"imSession": {"id": "S9"}},
        {"imSession": {"path": "/im-sessions/S9"}},
        {"imSession": {"uri": "http://x/im-sessions/S9"}},
    ],
)
def test_row_5_the_session_of_a_message_has_many_names(named):
    assert log("x", imSessionPath=None, **named)[0].session_id == "S9"


def test_a_message_that_names_no_session_is_nothing():
    assert log("x", imSessionPath="") == ()


@pytest.mark.parametrize(
    ("message", "texts"),
    [
        ("hi", ["hi"]),
        ({"text": "hi"}, ["hi"]),
        ({"message": "hi"}, ["hi"]),
        ({"msg": "hi"}, ["hi"]),
        (["a", {"text": "b"}], ["a", "b"]),
        ({"odd": 1}, ['{"odd":1}']),
        (5, ["5"]),
        ([["a"]], ['["a"]']),
        ([], []),
        (None, []),
        ({"text": 5, "msg": "hi"}, ["hi"]),
    ],
)
def test_row_6_a_message_may_be_text_or_object_or_list(message, texts):
    assert [notice.text for notice in log(message)] == texts


@pytest.mark.parametrize(
    ("message", "more", "sender"),
    [
        ("x", {}, None),
        ("x", {"from": "3002"}, "3002"),
        ("x", {"sender": {"phoneNumber": "3002"}}, "3002"),
        ("x", {"participant": {"nickname": "Robin"}}, "Robin"),
        ({"text": "x", "from": "1"}, {"from": "2"}, "1"),
        ("x", {"from": {}, "sender": 3002}, "3002"),
    ],
)
def test_row_6_a_speaker_is_taken_over_where_there_is_one(message, more, sender):
    assert log(message, **more)[0].sender == sender


def test_row_6_a_message_object_may_have_a_time():
    assert log({"text": "x", "timestamp": "1700000000000"})[0].at == datetime(
        2023, 11, 14, 22, 13, 20, tzinfo=UTC
    )


@pytest.mark.parametrize("user_data", [None, [], "x", {}])
def test_row_11_user_data_absent_or_odd_is_empty(user_data):
    assert shown({"userData": user_data}).user_data == {}


@pytest.mark.parametrize(
    "body", [{"imSession": SESSION}, {"imSessions": [SESSION]}, {"imSessions": SESSION}, SESSION]
)
def test_row_15_one_session_has_several_shapes(body):
    assert parse_session({"statusCode": 0, **body}) == SHOWN


@pytest.mark.parametrize("body", [None, [], {}, {"statusCode": 0}, {"imSession": []}])
def test_row_15_no_session_is_none(body):
    assert parse_session(body) is None


def test_row_16_a_list_reply_may_hold_uris():
    uris = ["http://x/api/v2/im-sessions/A", "/im-sessions/B/", {"uri": "/im-sessions/C"}, 5, None]

    assert session_ids({"uris": [*uris, uris[0]]}) == ("A", "B", "C", "5")
    assert session_ids({"imSessions": [SESSION]}) == ()


def test_a_full_list_skips_what_is_no_session():
    assert parse_sessions({"imSessions": [SESSION, 5, {}, None]}) == (SHOWN,)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"messageType": "ErrorMessage"}, "(no text)"),
        ({"notificationType": "Error", "message": "m"}, "m"),
        ({"errorMessage": "e", "statusMessage": "s"}, "e"),
        ({"success": False, "statusMessage": "s"}, "s"),
        ({"messageType": " errormessage ", "errorMessage": ["odd"]}, "(no text)"),
    ],
)
def test_row_18_an_error_is_known_by_any_of_its_marks(body, text):
    """The only one ever seen has no text at all."""
    assert heard({"data": body}, received_at=NOW) == (FaultNotice(text, NOW),)


def test_row_18_an_error_is_tied_to_its_device_and_session():
    by_path = {"messageType": "ErrorMessage", "devicePath": "/devices/D1", "imSessionPath": "/x/S1"}
    by_uri = {"messageType": "ErrorMessage", "deviceUri": "http://x/api/v2/devices/D1"}

    assert heard({"data": by_path}, received_at=NOW) == (
        FaultNotice("(no text)", NOW, "S1", "/devices/D1"),
    )
    assert heard({"data": by_uri}, received_at=NOW)[0].device_path == "/devices/D1"


@pytest.mark.parametrize("success", [True, None])
def test_row_18_a_success_is_no_error(success):
    assert isinstance(state(success=success)[0], SessionNotice)


@pytest.mark.parametrize(
    ("participants", "read"),
    [
        (["3002"], (Participant("3002"),)),
        ([3002], (Participant("3002"),)),
        ("3002", (Participant("3002"),)),
        ({"phoneNumber": "3002"}, (Participant("3002"),)),
        ([{"digits": "3002"}], (Participant("3002", "3002"),)),
        ([{"e164Number": "+49"}], (Participant("+49", "", "+49"),)),
        ([{}, None, ""], ()),
        (None, ()),
    ],
)
def test_row_27_participants_may_be_words(participants, read):
    assert shown({"participants": participants}).participants == read


def test_row_29_numbers_may_be_text_and_lists_stand_for_objects():
    timing = {"serverGenerationTimestamp": "1700000000000"}
    (notice,) = state({"userData": []}, metrics={"eventProcessing": timing})

    assert notice.at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert state(metrics=[])[0].at == NOW


@pytest.mark.parametrize("stamp", [-1, 0, 5, 10**30, True, None, "soon", 1e12, "²", [], "1" * 20])
def test_an_implausible_server_time_is_the_time_of_receipt(stamp):
    timing = {"eventProcessing": {"serverGenerationTimestamp": stamp}}

    assert state(metrics=timing)[0].at == NOW


@pytest.mark.parametrize(
    ("capabilities", "read"), [(None, None), ([], ()), (["A", 5, None], ("A", "5")), ("A", None)]
)
def test_capabilities_that_did_not_come_are_not_known(capabilities, read):
    assert shown({"capabilities": capabilities}).capabilities == read


def test_an_unknown_type_with_a_session_shows_the_session():
    """Calls have types that IM does not list; the session in it is still true."""
    body = {
        "messageType": "IMNews",
        "notificationType": "ParticipantsUpdated",
        "imSession": SESSION,
    }

    assert heard({"data": body}, received_at=NOW) == (
        SessionNotice(SHOWN, NOW, "ParticipantsUpdated"),
    )


def test_a_type_that_is_missing_is_seen_by_the_shape():
    spoken = {"message": "x", "imSessionPath": "/im-sessions/S1"}
    devices = {"devices": [{"id": "D1"}]}

    assert heard({"data": spoken}, received_at=NOW) == (MessageNotice("S1", "x", NOW),)
    assert heard({"data": devices}, received_at=NOW)[0].devices[0].id == "D1"


@pytest.mark.parametrize(
    "body",
    [
        {"messageType": "CallStateChangeMessage", "call": {"id": "C", "state": "Ringing"}},
        {"messageType": "ChannelStateChangeMessageV2", "channels": []},
        {"messageType": "DeviceStateChangeMessage", "devices": [{}]},
        {"messageType": "IMSessionStateChangeMessage"},
        {"messageType": ["odd"]},
    ],
)
def test_what_is_not_about_us_is_nothing(body):
    assert heard({"data": body}, received_at=NOW) == ()


def test_devices_are_read_with_their_users_state():
    body = {
        "messageType": "DeviceStateChangeMessage",
        "devices": [
            {"id": "D1", "phoneNumber": "1001", "userState": {"state": "LoggedIn"}},
            {"path": "/devices/D2", "userState": "LoggedOut"},
            {"id": "D3", "userState": []},
        ],
    }
    (notice,) = heard({"data": body}, received_at=NOW)
    first, second, third = notice.devices

    assert notice == DeviceNotice((first, second, third), NOW)
    assert first == Device("D1", "/devices/D1", "1001", "LoggedIn")
    assert (second.id, third.user_state) == ("D2", "")
    assert [d.is_logged_in for d in notice.devices] == [True, False, False]
    assert [d.is_logged_out for d in notice.devices] == [False, True, False]


def test_devices_of_a_body_that_has_none_are_none():
    assert parse_devices({"statusCode": 0}) == parse_devices([]) == ()


def test_an_annex_is_read_by_name_in_lower_case():
    settings = [{"name": "Multimedia", "value": "true"}, {"name": "n", "value": 5}]

    assert parse_annex({"settings": settings}) == {"multimedia": "true", "n": "5"}


def test_who_is_logged_in_is_read_whole():
    user = {
        "userName": "bot1",
        "firstName": "Robin",
        "lastName": "Bot",
        "features": [{"id": "f1"}, "f2"],
        "devices": [{"id": "D1"}],
        "changePasswordOnFirstLogin": "true",
    }
    me = parse_me({"user": user})

    assert (me.user_name, me.name, me.features) == ("bot1", "Robin Bot", {"f1", "f2"})
    assert (me.devices[0].path, me.must_change_password) == ("/devices/D1", True)


def test_features_that_did_not_come_are_not_known():
    """Not to know is no reason to refuse to work."""
    assert parse_me({}).features is None


def test_control_characters_and_lone_surrogates_do_not_pass():
    assert clean_text("a\x00b\ud800c\td\r\ne\x1b") == "ab\ufffdc\td\r\ne"


def test_a_text_is_cut_at_its_limit():
    assert len(log("x" * (MAX_TEXT_CHARS + 5))[0].text) == MAX_TEXT_CHARS


def test_user_data_is_bounded_in_width_and_depth():
    deep = {"k": None}
    for _ in range(MAX_DEPTH * 2):
        deep = {"k": [deep]}
    wide = {str(number): number for number in range(MAX_ITEMS + 5)}

    assert len(bounded(wide)) == MAX_ITEMS
    assert str(bounded(deep)).count("k") == MAX_DEPTH // 2


@pytest.mark.parametrize(
    "poison", [math.nan, math.inf, pytest.param(10**5000, id="huge"), object()]
)
def test_values_that_json_can_not_bear_become_null(poison):
    assert shown({"userData": {"k": poison}}).user_data == {"k": None}


@pytest.mark.parametrize("plain", [1.5, 10**30, True, None, "x", -3])
def test_plain_values_stay(plain):
    assert shown({"userData": {"k": plain}}).user_data == {"k": plain}


def test_a_number_beyond_reason_is_no_id():
    assert state({"id": 10**5000, "path": None, "uri": None}) == ()


KEYS = st.sampled_from(
    [
        *("data", "messageType", "notificationType", "imSession", "imSessions", "message", "text"),
        *(
            "imSessionPath",
            "id",
            "path",
            "uri",
            "state",
            "userData",
            "participants",
            "capabilities",
        ),
        *("devices", "userState", "metrics", "eventProcessing", "serverGenerationTimestamp"),
        *("errorMessage", "success", "from", "phoneNumber", "uris", "user", "features", "settings"),
    ]
)
WORDS = st.sampled_from(
    ["IMSessionStateChangeMessage", "IMLogUpdateMessage", "DeviceStateChangeMessage", "/a/S1"]
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.text(st.characters()), inner, max_size=6)
    ),
    max_leaves=25,
)


@given(ANY_JSON)
def test_no_json_makes_the_parsers_raise_or_give_what_json_can_not_bear(value):
    """One poisoned notification must never stop an agent."""
    for notice in heard(value, received_at=NOW):
        assert notice.at.utcoffset() == timedelta(0)
        if isinstance(notice, SessionNotice):
            encode_json(notice.session.user_data)
            assert notice.session.id
    for parse in (parse_me, parse_annex, parse_devices, parse_session, parse_sessions, session_ids):
        parse(value)
