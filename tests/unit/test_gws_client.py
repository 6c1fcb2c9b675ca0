"""Operations on the wire as documented, CSRF renewed once, errors of the right branch."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.errors import (
    AmbiguousError,
    Fault,
    FaultClass,
    PermanentError,
    TemporaryError,
)
from imbot.gws.auth import Basic
from imbot.gws.client import GwsClient, clean_user_data
from imbot.gws.settings import AgentSettings
from imbot.jsontext import encode_json
from tests.unit.gws_fakes import URL, FakeGws, LoopClock, ok, refused, reply, session

pytestmark = pytest.mark.looptime
SESSIONS = "/api/v2/me/im-sessions"


@pytest.fixture
def gws():
    return FakeGws()


@pytest.fixture
async def client(gws):
    made = GwsClient(gws, URL + "/", Basic("bot1", "pw"), clock=LoopClock(), contact_center_id="cc")
    await made.me()
    gws.calls.clear()
    return made


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        (
            lambda c: c.initiate("16001", {"favColor": "blue"}, device_path="/devices/D1"),
            SESSIONS,
            {
                "operationName": "InitiateIMSession",
                "destination": {"phoneNumber": "16001"},
                "userData": {"favColor": "blue"},
                "devicePath": "/devices/D1",
            },
        ),
        (
            lambda c: c.initiate("16001", {}, device_path=None),
            SESSIONS,
            {"operationName": "InitiateIMSession", "destination": {"phoneNumber": "16001"}},
        ),
        (
            lambda c: c.send_message("S1", "hi", destination="3002", device_path="/devices/D1"),
            f"{SESSIONS}/S1",
            {
                "operationName": "SendMessage",
                "text": "hi",
                "destination": {"phoneNumber": "3002"},
                "devicePath": "/devices/D1",
            },
        ),
        (
            lambda c: c.attach_user_data("S1", {"a": "1"}),
            f"{SESSIONS}/S1",
            {"operationName": "AttachUserData", "userData": {"a": "1"}},
        ),
        (
            lambda c: c.update_user_data("S1", {"a": True}),
            f"{SESSIONS}/S1",
            {"operationName": "UpdateUserData", "userData": {"a": "true"}},
        ),
        (
            lambda c: c.delete_user_data("S1", "a"),
            f"{SESSIONS}/S1",
            {"operationName": "DeleteUserData", "key": "a"},
        ),
        (lambda c: c.complete("S1"), f"{SESSIONS}/S1", {"operationName": "Complete"}),
        (lambda c: c.operate("S1", "Answer"), f"{SESSIONS}/S1", {"operationName": "Answer"}),
        (
            lambda c: c.set_agent_state("NotReady"),
            "/api/v2/me/channels/voice",
            {"operationName": "NotReady"},
        ),
        (
            lambda c: c.end_contact_center_session(),
            "/api/v2/me",
            {"operationName": "EndContactCenterSession"},
        ),
        (
            lambda c: c.start_contact_center_session(
                AgentSettings(
                    "bot1", Basic("bot1", "pw"), "P", "L", "Q", channels=("voice", "chat")
                )
            ),
            "/api/v2/me",
            {
                "operationName": "StartContactCenterSession",
                "channels": ["voice", "chat"],
                "place": "P",
                "loginCode": "L",
                "queue": "Q",
            },
        ),
    ],
)
async def test_operations_go_out_as_documented(gws, client, call, path, body):
    """Never to a `uri` of GWS: base, /me, and the id percent-encoded (rows 3, 24 and 25)."""
    await call(client)

    (sent,) = gws.calls
    assert (sent.method, sent.url, sent.body) == ("POST", URL + path, body)
    assert next(iter(sent.body)) == "operationName"
    assert sent.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert sent.headers["Authorization"].startswith("Basic ")
    assert sent.headers["X-CSRF-TOKEN"] == "token-1"
    assert sent.headers["ContactCenterId"] == "cc"


async def test_asking_reads_what_gws_has(gws, client):
    gws.sessions = [session("S1"), session("S2")]
    gws.annexes = {"D1": {"multimedia": "true"}}

    assert await client.version() == "8.5.202.96"
    assert [one.number for one in await client.devices()] == ["1001"]
    assert await client.annex("D1") == {"multimedia": "true"}
    assert [one.id for one in await client.sessions()] == ["S1", "S2"]
    assert (await client.session("S2")).id == "S2"
    assert await client.session("S3") is None
    assert gws.calls[3].query == "fields=*"


async def test_row_16_a_list_of_uris_is_followed_by_single_gets(gws, client):
    """A session that ends in between is just not there any more."""
    gws.sessions = [session("S1")]
    uris = ["http://inner:8090/api/v2/im-sessions/S1", "/im-sessions/S2"]
    gws.answer_next(f"GET {SESSIONS}", ok(uris=uris))

    assert [one.id for one in await client.sessions()] == ["S1"]
    assert [call.path for call in gws.calls] == [SESSIONS, f"{SESSIONS}/S1", f"{SESSIONS}/S2"]


async def test_a_single_session_that_is_refused_is_an_error(gws, client):
    """Only its absence means that it is over."""
    gws.answer_next(f"GET {SESSIONS}/S1", refused(3))

    with pytest.raises(PermanentError):
        await client.session("S1")


async def test_a_404_of_the_list_says_that_the_feature_is_off(gws, client):
    """No session is an empty list; 404 is a configuration error."""
    gws.answer_next(f"GET {SESSIONS}", reply(404, "<html>"))

    with pytest.raises(PermanentError) as caught:
        await client.sessions()

    assert caught.value.fault.fault_class is FaultClass.PERMISSION


@pytest.mark.parametrize("answer", [refused(6, status=404), refused(2, "Invalid state")])
async def test_completing_what_is_over_counts_as_done(gws, client, answer):
    gws.answer_next("Complete", answer)

    await client.complete("S1")


async def test_what_refuses_to_end_and_is_still_there_is_not_over(gws, client):
    """A session that rings may answer "invalid state", too."""
    gws.sessions = [session("S1", "Alerting")]
    gws.answer_next("Complete", refused(2, "Invalid state"))

    with pytest.raises(TemporaryError):
        await client.complete("S1")


async def test_completing_may_fail_for_other_reasons(gws, client):
    gws.answer_next("Complete", refused(18))

    with pytest.raises(PermanentError):
        await client.complete("S1")


# CSRF -----------------------------------------------------------------------------------------


async def test_a_changed_csrf_token_is_renewed_once_and_the_operation_repeated(gws, client):
    """A refused token proves that nothing was done."""
    gws.csrf = ("X-Other", "token-2")

    await client.send_message("S1", "hi", destination="3", device_path=None)

    assert [repr(call) for call in gws.calls] == ["SendMessage", "GET /api/v2/me", "SendMessage"]
    assert client.headers()["X-Other"] == "token-2"
    assert "X-CSRF-TOKEN" not in client.headers()


async def test_operations_refused_together_renew_the_token_with_one_get(gws, client):
    """A hundred sessions must not mean a hundred GETs."""
    gws.csrf = ("X-CSRF-TOKEN", "token-2")

    await asyncio.gather(*(client.complete(f"S{number}") for number in range(5)))

    assert gws.count("GET /api/v2/me") == 1
    assert gws.count("Complete") == 10


async def test_a_token_refused_twice_is_reported(gws, client):
    """Then the cookie is gone, and only another login helps."""
    gws.answer_next("Complete", *(reply(403, "invalid csrf token") for _ in range(2)))

    with pytest.raises(TemporaryError) as caught:
        await client.complete("S1")

    assert caught.value.fault.fault_class is FaultClass.CSRF


async def test_odd_csrf_headers_are_not_taken_over(gws, client):
    """They would become headers of ours."""
    gws.csrf = ("X Y:", "t")
    await client.me()
    gws.csrf = ("X-CSRF-TOKEN", "")
    await client.me()

    assert client.headers()["X-CSRF-TOKEN"] == "token-1"


async def test_every_get_reply_renews_the_token(gws, client):
    gws.csrf = ("X-CSRF-TOKEN", "token-2")
    await client.sessions()

    assert client.headers()["X-CSRF-TOKEN"] == "token-2"


# Trouble --------------------------------------------------------------------------------------


async def test_a_lost_answer_leaves_an_operation_in_doubt_and_a_get_to_be_repeated(gws, client):
    lost = AmbiguousError("reset")
    gws.answer_next("SendMessage", lost)
    gws.answer_next(f"GET {SESSIONS}", lost)
    gws.answer_next("GET /api/v2/me/devices", AmbiguousError("x", fault=Fault(FaultClass.SERVER)))

    with pytest.raises(AmbiguousError):
        await client.send_message("S1", "hi", destination="3", device_path=None)
    with pytest.raises(TemporaryError) as caught:
        await client.sessions()
    with pytest.raises(TemporaryError) as other:
        await client.devices()

    assert caught.value.fault.fault_class is FaultClass.TRANSPORT
    assert other.value.fault.fault_class is FaultClass.SERVER


async def test_what_was_surely_not_sent_stays_temporary(gws, client):
    gws.answer_next("SendMessage", TemporaryError("refused"))

    with pytest.raises(TemporaryError, match="refused"):
        await client.send_message("S1", "hi", destination="3", device_path=None)


async def test_an_internal_error_leaves_a_message_in_doubt_a_refusal_does_not(gws, client):
    """GWS may break off after the other party has read it; said twice is worse than parked."""
    gws.answer_next(
        "SendMessage",
        refused(4, "Internal error"),
        refused(4, "Device '1001' is not registered."),
        refused(4, "Busy", status=429),
    )

    for error in (AmbiguousError, TemporaryError, TemporaryError):
        with pytest.raises(error) as caught:
            await client.send_message("S1", "hi", destination="3", device_path=None)
        assert caught.value.fault.fault_class is FaultClass.SERVER


async def test_an_error_says_what_was_asked_and_how_long_to_wait(gws, client):
    gws.answer_next("Complete", reply(429, "slow down", retry_after="7"))

    with pytest.raises(
        TemporaryError, match="POST /api/v2/me/im-sessions/S1: server HTTP 429"
    ) as e:
        await client.complete("S1")

    assert e.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("failed", "error"),
    [
        (
            [{"channel": "voice", "statusCode": 4, "statusMessage": "not registered"}],
            TemporaryError,
        ),
        ([{"channel": "voice", "statusCode": 5}], PermanentError),
        ([{"channel": "multimedia", "statusCode": 4}], None),
        ("odd", None),
        ([5], None),
    ],
)
async def test_of_a_partial_login_only_voice_matters(gws, client, failed, error):
    """IM rides on voice; chat is reported as multimedia and is no loss."""
    gws.answer_next("StartContactCenterSession", reply(200, {"statusCode": 7, "failed": failed}))
    start = client.start_contact_center_session(AgentSettings("bot1", Basic("bot1", "pw")))

    if error is None:
        await start
    else:
        with pytest.raises(error, match="voice failed"):
            await start


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.send_message("S1", "", destination="3", device_path=None),
        lambda c: c.send_message("S1", "x", destination="", device_path=None),
        lambda c: c.send_message("", "x", destination="3", device_path=None),
        lambda c: c.initiate("", {}, device_path=None),
        lambda c: c.delete_user_data("S1", ""),
        lambda c: c.update_user_data("S1", {}),
        lambda c: c.update_user_data("S1", {"": "x"}),
        lambda c: c.update_user_data("S1", {"a": None}),
        lambda c: c.update_user_data("S1", {"a": 1.5}),
        lambda c: c.update_user_data("S1", {"a": {"b": ["x"]}}),
    ],
)
async def test_what_gws_would_refuse_is_not_sent(gws, client, call):
    """A DeleteUserData without a key removes everything on other channels."""
    with pytest.raises(PermanentError) as caught:
        await call(client)

    assert caught.value.fault.fault_class is FaultClass.INPUT
    assert gws.calls == []


def test_user_data_of_the_kinds_gws_knows_passes():
    nested = {"s": "x", "i": 5, "t": True, "f": False, "d": {"e": {"n": 1}}}

    assert clean_user_data(nested) == {**nested, "t": "true", "f": "false"}


def test_a_wrong_value_is_named_by_its_path():
    with pytest.raises(PermanentError, match=r"'a\.b': .* not null"):
        clean_user_data({"a": {"b": None}})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_user_data_is_clean_or_refused(value):
    try:
        cleaned = clean_user_data({"k": value})
    except PermanentError:
        return

    assert b"null" not in encode_json(cleaned) or "null" in str(value)
