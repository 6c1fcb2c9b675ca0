"""The world behind the simulated GWS, without HTTP: sides, states, notices, logins, refusals."""

import base64
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.jsontext import decode_json
from imbot.simulator import operations
from imbot.simulator.agents import Agents, Logins, UserState
from imbot.simulator.conversation import RefusedError, State
from imbot.simulator.faults import Faults
from imbot.simulator.journal import Happening
from imbot.simulator.settings import AgentAccount, SimulatorSettings
from imbot.simulator.world import World

IM = "/v2/me/im-sessions"
ACCOUNTS = (
    AgentAccount(user="bot1", password="pw", number="1001"),
    AgentAccount(user="bot2", password="pw", number="1002", bearer="token2"),
)


class HandClock:
    """Time that a test moves."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self):
        return self.seconds


class Stage:
    """A world whose agents are logged in, with what they were told and what waits."""

    def __init__(self, faults=None, **settings):
        self.clock = HandClock()
        self.waiting = []
        settings = SimulatorSettings(agents=ACCOUNTS, faults=faults or Faults(), **settings)
        self.world = World(
            settings,
            clock=self.clock,
            random=Random(1),  # noqa: S311 - reproducible
            later=lambda seconds, callback: self.waiting.append((seconds, callback)),
        )
        self.told = []
        for agent in self.world.agents:
            self.world.set_user_state(agent, UserState.NOT_READY)
        self.world.notices.deliver = lambda user, channel, message: self.told.append(
            (user, channel, message)
        )
        self.bot1, self.bot2 = self.world.agents

    def states(self, user):
        """Return the states that an agent was told, in order."""
        sessions = [m["data"].get("imSession") for u, c, m in self.told if (u, c) == (user, IM)]
        return [session["state"] for session in sessions if session]

    def texts(self, user):
        """Return the messages that an agent was told, in order."""
        told = [message["data"] for who, _, message in self.told if who == user]
        return [data["message"] for data in told if data["messageType"] == "IMLogUpdateMessage"]

    def talking(self):
        """Return the id of a session between bot1 and an outside party."""
        return self.world.ring("bot1", "3002")

    def refused(self, session_id, **body):
        """Return the status code of an operation that must be refused."""
        with pytest.raises(RefusedError) as refused:
            operations.on_session(self.world, self.bot1, session_id, body)
        return refused.value.status_code


@pytest.fixture
def stage():
    return Stage()


def device_path(stage):
    return f"/devices/{stage.bot1.device_id}"


def test_an_outside_party_rings_and_the_agent_sees_it_alert_and_talk(stage):
    session_id = stage.world.ring("bot1", "3002", {"tier": "gold"})

    assert stage.states("bot1") == ["Alerting", "Talking"]
    resource = stage.told[0][2]["data"]["imSession"]
    assert resource["id"] == session_id
    assert resource["userData"] == {"tier": "gold"}
    assert resource["participants"][0]["phoneNumber"] == "3002"
    assert resource["path"] == f"/im-sessions/{session_id}"


def test_two_agents_hold_the_two_ends_of_one_session(stage):
    """The caller sees Initiating and never Alerting; each sees the other party only."""
    session = stage.world.initiate(stage.bot1, "1002", {"a": "b"})
    stage.world.send(stage.bot1, session, "hello")

    assert stage.states("bot1") == ["Initiating", "Talking"]
    assert stage.states("bot2") == ["Alerting", "Talking"]
    assert stage.texts("bot1") == stage.texts("bot2") == ["hello"]
    seen = stage.world.notices.session(session, stage.bot2)
    assert seen["participants"][0]["phoneNumber"] == "1001"


def test_an_agent_has_one_session_at_a_time(stage):
    """GWS answers a second Initiate with 'Invalid state'; a second ring finds the line busy."""
    stage.talking()

    with pytest.raises(RefusedError, match="Invalid state"):
        stage.world.initiate(stage.bot1, "3009", {})
    with pytest.raises(RefusedError, match="busy"):
        stage.world.ring("bot1", "3003")
    with pytest.raises(RefusedError, match="Invalid state"):
        stage.world.initiate(stage.bot2, "1002", {})


def test_calling_a_busy_agent_ends_at_once_and_leaves_its_session_alone(stage):
    session_id = stage.world.ring("bot2", "3002")
    called = stage.world.initiate(stage.bot1, "1002", {})

    assert called.state is State.COMPLETED
    assert stage.states("bot1") == ["Initiating", "Completed"]
    assert stage.states("bot2") == ["Alerting", "Talking"]
    assert stage.world.live_session(stage.bot2).id == session_id


def test_what_the_agent_says_is_echoed_to_it_and_kept(stage):
    session_id = stage.talking()
    session = stage.world.session(session_id)
    stage.world.say(session_id, "hi")
    stage.world.send(stage.bot1, session, "hello")

    assert stage.texts("bot1") == ["hi", "hello"]
    assert [(line.number, line.text) for line in session.transcript] == [
        ("3002", "hi"),
        ("1001", "hello"),
    ]


def test_user_data_is_merged_and_deleted_and_both_sides_are_told(stage):
    session = stage.world.initiate(stage.bot1, "1002", {"a": "1"})
    stage.world.set_user_data(session.id, {"b": {"c": 2}}, by="bot1")
    stage.world.delete_user_data(session.id, "a")
    stage.world.delete_user_data(session.id, "absent")

    last = {user: message for user, _, message in stage.told}
    assert last["bot2"]["data"]["notificationType"] == "AttachedDataChanged"
    assert last["bot1"]["data"]["imSession"]["userData"] == {"b": {"c": 2}}
    noted = [e for e in stage.world.log if e.kind is Happening.USER_DATA]
    assert [(e.name, e.text, e.agent) for e in noted] == [
        ("b", '{"c":2}', "bot1"),
        ("a", "", ""),
        ("absent", "", ""),
    ]


def test_empty_user_data_is_absent(stage):
    """Documented samples have no userData when there is none."""
    session = stage.world.session(stage.talking())

    assert "userData" not in stage.world.notices.session(session, stage.bot1)


def test_completion_is_final_and_frees_both_sides(stage):
    session = stage.world.initiate(stage.bot1, "1002", {})
    stage.world.complete(session.id)

    assert stage.states("bot2")[-1] == "Completed"
    assert stage.world.is_free("bot1")
    assert stage.world.is_free("bot2")
    for late in (
        lambda: stage.world.complete(session.id),
        lambda: stage.world.say(session.id, "x"),
        lambda: stage.world.set_user_data(session.id, {}),
        lambda: stage.world.complete("unknown"),
    ):
        with pytest.raises(RefusedError) as refused:
            late()
        assert refused.value.status_code == 6


def test_logging_out_ends_the_session(stage):
    session_id = stage.talking()
    stage.world.set_user_state(stage.bot1, UserState.LOGGED_OUT)

    assert not stage.world.session(session_id).is_live
    with pytest.raises(RefusedError, match="not logged in"):
        stage.world.ring("bot1", "3002")
    with pytest.raises(RefusedError, match="not registered") as refused:
        stage.world.initiate(stage.bot1, "3002", {})
    assert refused.value.with_notice


def test_a_ring_for_nobody_is_refused(stage):
    with pytest.raises(RefusedError, match="no agent 'nobody'"):
        stage.world.ring("nobody", "3002")
    assert not stage.world.is_free("nobody")


def test_completed_sessions_are_forgotten_in_the_end():
    stage = Stage(keep_completed=2)
    ids = []
    for _ in range(5):
        ids.append(stage.talking())
        stage.world.complete(ids[-1])

    assert [session.id for session in stage.world.sessions()] == ids[-2:]


def test_the_log_keeps_the_newest_and_counts_all():
    stage = Stage(log_limit=4)
    session_id = stage.talking()
    for n in range(10):
        stage.world.say(session_id, str(n))

    assert len(stage.world.log) <= 4
    assert stage.world.log[-1].text == "9"
    assert stage.world.journal.count == stage.world.log[-1].seq == 14


async def test_who_waits_for_the_log_is_woken_or_told_in_time(stage):
    session = stage.world.session(stage.talking())
    await stage.world.until(lambda: session.state is State.TALKING)

    with pytest.raises(TimeoutError):
        await stage.world.until(lambda: not session.is_live, timeout_s=0)


def test_listeners_hear_their_session_only_until_they_stop(stage):
    heard, everything = [], []
    stop_all = stage.world.listen(everything.append)
    session_id = stage.talking()
    stop = stage.world.listen(heard.append, session=session_id)
    stage.world.say(session_id, "one")
    stop()
    stop()
    stop_all()
    stage.world.say(session_id, "two")

    assert [entry.text for entry in heard] == ["one"]
    assert everything[-1].text == "one"


# Faults.


def first_session(stage):
    return stage.told[0][2]["data"]["imSession"]


def test_state_with_a_space():
    stage = Stage(Faults(state_space=True))
    stage.talking()

    assert stage.states("bot1") == [" Alerting", " Talking"]


def test_ids_that_differ_still_name_one_session_by_id_and_by_path():
    stage = Stage(Faults(ids_differ=True))
    session = stage.world.session(stage.talking())
    resource = first_session(stage)

    assert len({session.id, session.path_id, session.uri_id}) == 3
    assert resource["uri"].endswith(session.uri_id)
    assert resource["path"] == f"/im-sessions/{session.path_id}"
    assert stage.world.session(session.path_id) is session
    assert operations.own_session(stage.world, stage.bot1, session.path_id) is session
    assert stage.refused(session.uri_id, operationName="Complete") == 6


def test_no_envelope_and_data_as_text():
    bare = Stage(Faults(no_envelope=True))
    bare.talking()
    text = Stage(Faults(data_text=True))
    text.talking()

    assert bare.told[0][2]["imSession"]["state"] == "Alerting"
    assert "data" not in bare.told[0][2]
    assert decode_json(text.told[0][2]["data"])["imSession"]["state"] == "Alerting"


def test_message_as_an_object_names_the_speaker():
    stage = Stage(Faults(message_object=True))
    session_id = stage.talking()
    stage.world.say(session_id, "hi")
    stage.world.send(stage.bot1, stage.world.session(session_id), "yo")

    assert stage.texts("bot1") == [{"text": "hi", "from": "3002"}, {"text": "yo", "from": "1001"}]


@pytest.mark.parametrize(
    ("fault", "at_once", "in_the_end"),
    [
        ("no_echo", [], []),
        ("duplicate_echo", ["yo", "yo"], ["yo", "yo"]),
        ("late_echo", [], ["yo"]),
    ],
)
def test_echo_faults_touch_the_senders_copy_only(fault, at_once, in_the_end):
    stage = Stage(Faults(**{fault: True}))
    session = stage.world.initiate(stage.bot1, "1002", {})
    stage.world.send(stage.bot1, session, "yo")

    assert stage.texts("bot2") == ["yo"]
    assert stage.texts("bot1") == at_once
    late = [callback for seconds, callback in stage.waiting if seconds == 0.5]
    for callback in late:
        callback()
    assert stage.texts("bot1") == in_the_end


def test_straight_to_talking_and_a_callee_who_refuses():
    straight = Stage(Faults(straight_to_talking=True))
    straight.talking()
    refusing = Stage(Faults(not_answered=True))
    refusing.talking()

    assert straight.states("bot1") == ["Talking"]
    assert refusing.states("bot1") == ["Alerting", "Completed"]


def test_alerting_waits_for_the_accept_operation():
    stage = Stage(Faults(alerting_answer=True, accept_operation="Accept"))
    session_id = stage.talking()

    assert first_session(stage)["capabilities"] == ["Accept", "Complete"]
    assert stage.refused(session_id, operationName="Answer") == 10
    assert stage.refused(session_id, operationName="SendMessage", **send_fields(stage)) == 2
    operations.on_session(stage.world, stage.bot1, session_id, {"operationName": "Accept"})
    assert stage.states("bot1") == ["Alerting", "Talking"]
    stage.world.answer(stage.world.session(session_id))
    assert stage.states("bot1") == ["Alerting", "Talking"]


def test_only_the_called_side_may_accept():
    stage = Stage(Faults(alerting_answer=True))
    session = stage.world.initiate(stage.bot1, "1002", {})

    assert stage.refused(session.id, operationName="Answer") == 2


def test_the_calling_side_never_sees_alerting():
    stage = Stage(Faults(auto_answer_s=5))
    session = stage.world.initiate(stage.bot1, "1002", {})

    assert session.state is State.ALERTING
    assert stage.world.notices.session(session, stage.bot1)["state"] == "Initiating"
    assert stage.world.notices.session(session, stage.bot2)["state"] == "Alerting"


def test_an_unanswered_session_rings_out_and_a_late_answer_is_none():
    stage = Stage(Faults(auto_answer_s=5))
    session = stage.world.session(stage.talking())
    (answer_s, answer), (give_up_s, give_up) = stage.waiting

    assert (answer_s, give_up_s) == (5, 30)
    give_up()
    answer()
    give_up()
    assert stage.states("bot1") == ["Alerting", "Completed"]
    assert not session.was_talking


def test_two_capable_devices_need_a_device_path():
    stage = Stage(Faults(several_devices=True))
    body = {"operationName": "InitiateIMSession", "destination": {"phoneNumber": "3002"}}

    with pytest.raises(RefusedError, match="several devices") as refused:
        operations.on_collection(stage.world, stage.bot1, body)
    assert refused.value.status_code == 1
    operations.on_collection(stage.world, stage.bot1, {**body, "devicePath": device_path(stage)})
    assert stage.states("bot1") == ["Initiating", "Talking"]


# Operations.


def send_fields(stage):
    return {
        "text": "yo",
        "destination": {"phoneNumber": "3002"},
        "devicePath": device_path(stage),
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"text": None}, 1),
        ({"text": ""}, 1),
        ({"text": 5}, 10),
        ({"destination": None}, 1),
        ({"destination": "3002"}, 10),
        ({"destination": {"phoneNumber": 3002}}, 10),
        ({"destination": {"phoneNumber": "3009"}}, 10),
        ({"devicePath": "/devices/other"}, 10),
    ],
)
def test_strict_refuses_a_message_without_what_is_mandatory(stage, change, code):
    session_id = stage.talking()

    assert (
        stage.refused(session_id, operationName="SendMessage", **send_fields(stage) | change)
        == code
    )
    assert stage.texts("bot1") == []


def test_strict_wants_the_device_path_of_a_message_and_lax_does_not(stage):
    fields = send_fields(stage)
    del fields["devicePath"]
    lax = Stage(strict=False)

    assert stage.refused(stage.talking(), operationName="SendMessage", **fields) == 1
    body = {"operationName": "SendMessage", "text": "yo"}
    operations.on_session(lax.world, lax.bot1, lax.talking(), body)
    assert lax.texts("bot1") == ["yo"]


@pytest.mark.parametrize("value", [1.5, True, None, ["x"], {"nested": 0.5}])
def test_strict_refuses_user_data_that_gws_cannot_hold(stage, value):
    session_id = stage.talking()
    lax = Stage(strict=False)

    body = {"operationName": "UpdateUserData", "userData": {"k": value}}
    assert stage.refused(session_id, **body) == 10
    assert operations.on_session(lax.world, lax.bot1, lax.talking(), body) == {"statusCode": 0}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 1),
        ({"operationName": "Answer"}, 10),
        ({"operationName": 5}, 10),
        ({"operationName": "UpdateUserData"}, 1),
        ({"operationName": "AttachUserData", "userData": "x"}, 10),
        ({"operationName": "DeleteUserData"}, 1),
        ({"operationName": "DeleteUserData", "key": ""}, 1),
        ({"operationName": "DeleteUserData", "key": 1}, 10),
    ],
)
def test_bad_operations_are_refused_with_their_code(stage, body, code):
    assert stage.refused(stage.talking(), **body) == code


def test_user_data_operations_and_complete_do_as_they_say(stage):
    session_id = stage.talking()

    def do(name, **fields):
        body = {"operationName": name, **fields}
        assert operations.on_session(stage.world, stage.bot1, session_id, body) == {"statusCode": 0}

    do("AttachUserData", userData={"a": "1", "n": 2, "d": {"x": "y"}})
    do("UpdateUserData", userData={"a": "2"})
    do("DeleteUserData", key="n")
    assert stage.world.session(session_id).user_data == {"a": "2", "d": {"x": "y"}}
    do("Complete")
    assert stage.refused(session_id, operationName="Complete") == 6


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"operationName": "SendMessage"}, 10),
        ({"operationName": "InitiateIMSession"}, 1),
        ({"operationName": "InitiateIMSession", "destination": {}}, 10),
    ],
)
def test_an_initiate_without_a_destination_is_refused(stage, body, code):
    with pytest.raises(RefusedError) as refused:
        operations.on_collection(stage.world, stage.bot1, body)
    assert refused.value.status_code == code


def on_user(stage, **body):
    return operations.on_user(stage.world, stage.bot1, body)


def test_login_goes_through_logged_in_to_not_ready_and_logout_back(stage):
    on_user(stage, operationName="EndContactCenterSession")
    on_user(stage, operationName="StartContactCenterSession", channels=["voice", "chat"])
    on_user(stage, operationName="Ready")

    changes = [message["data"]["devices"][0]["userState"] for _, _, message in stage.told]
    assert [state["state"] for state in changes] == ["LoggedOut", "LoggedIn", "NotReady", "Ready"]
    assert changes[1] == {"state": "LoggedIn"}


@pytest.mark.parametrize(("channels", "code"), [(None, 1), ([], 10), ("voice", 10), (["im"], 10)])
def test_a_login_for_unknown_channels_is_refused(stage, channels, code):
    with pytest.raises(RefusedError) as refused:
        on_user(stage, operationName="StartContactCenterSession", channels=channels)
    assert refused.value.status_code == code


def test_login_in_part_says_which_channel_failed():
    stage = Stage(Faults(login_partial=True))
    on_user(stage, operationName="EndContactCenterSession")
    reply = on_user(stage, operationName="StartContactCenterSession", channels=["voice", "chat"])

    assert reply["statusCode"] == 7
    assert [one["channel"] for one in reply["failed"]] == ["voice"]
    assert reply["succeeded"] == [{"statusCode": 0, "channel": "multimedia"}]
    assert not stage.bot1.logged_in


@pytest.mark.parametrize("fault", ["login_partial", "login_failed"])
def test_a_login_whose_channels_all_fail_is_one_error(fault):
    stage = Stage(Faults(**{fault: True}))

    with pytest.raises(RefusedError, match="not registered"):
        on_user(stage, operationName="StartContactCenterSession", channels=["voice"])


def test_a_partial_failure_of_multimedia_leaves_voice_alone():
    stage = Stage(Faults(login_partial=True, partial_channel="multimedia"))

    assert on_user(stage, operationName="StartContactCenterSession", channels=["voice"]) == {
        "statusCode": 0
    }


def test_agent_states_need_a_login(stage):
    on_user(stage, operationName="EndContactCenterSession")

    with pytest.raises(RefusedError, match="not registered"):
        on_user(stage, operationName="Ready")
    with pytest.raises(RefusedError) as refused:
        on_user(stage, operationName="Dance")
    assert refused.value.status_code == 10


def code_of(act, body):
    """Return the status code, answered or refused."""
    try:
        return act(body)["statusCode"]
    except RefusedError as refused:
        return refused.status_code


@given(
    st.dictionaries(
        st.text(max_size=12),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
    )
)
def test_any_body_is_done_or_refused_with_a_code(body):
    """Whatever a client sends, the simulator answers as GWS would."""
    stage = Stage()
    session_id = stage.talking()
    names = ["SendMessage", "UpdateUserData", "DeleteUserData", "StartContactCenterSession"]
    for name in names:
        for act in (
            lambda b: operations.on_session(stage.world, stage.bot1, session_id, b),
            lambda b: operations.on_user(stage.world, stage.bot1, b),
            lambda b: operations.on_collection(stage.world, stage.bot1, b),
        ):
            assert code_of(act, {**body, "operationName": name}) in {0, 1, 2, 4, 6, 7, 10}


# Logins.


def basic(user, password, encoding="utf-8"):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()


def logins(**settings):
    settings = SimulatorSettings(agents=ACCOUNTS, http_session_s=10, **settings)
    clock = HandClock()
    random = Random(1)  # noqa: S311 - reproducible
    return Logins(Agents(settings, random), clock=clock, random=random), clock


def test_credentials_open_a_session_that_its_cookie_keeps():
    desk, _ = logins()
    login = desk.enter("", basic("bot1", "pw"))

    assert desk.enter(login.jsession, "") is login
    assert desk.enter(login.jsession, basic("bot1", "pw")) is login
    assert desk.enter("", "Bearer token2").agent.user == "bot2"
    assert desk.whose(login.jsession, "") == desk.whose("", basic("bot1", "pw")) == "bot1"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        basic("bot1", "wrong"),
        basic("nobody", "pw"),
        "Basic !!!",
        "Basic " + base64.b64encode(b"nocolon").decode(),
        "Bearer wrong",
        "Digest x",
    ],
)
def test_bad_credentials_open_nothing(authorization):
    desk, _ = logins()

    assert desk.enter("", authorization) is None
    assert len(desk) == 0


def test_wrong_credentials_are_refused_beside_a_good_cookie_and_others_change_the_session():
    desk, _ = logins()
    login = desk.enter("", basic("bot1", "pw"))

    assert desk.enter(login.jsession, basic("bot1", "wrong")) is None
    assert desk.enter(login.jsession, basic("bot2", "pw")).agent.user == "bot2"


def test_a_password_may_come_in_latin_1():
    desk, _ = logins(accounts_on_demand=True)
    desk.enter("", basic("Jörg", "pässword"))

    assert desk.enter("", basic("Jörg", "pässword", "latin-1")).agent.user == "Jörg"


def test_accounts_on_demand_take_any_user_with_a_number_of_its_own():
    desk, _ = logins(accounts_on_demand=True)
    numbers = {desk.enter("", basic(f"u{n}", "pw")).agent.number for n in range(20)}

    assert len(numbers) == 20
    assert desk.enter("", basic("u1", "other")) is None


def test_an_idle_session_is_forgotten_and_a_used_one_is_not():
    desk, clock = logins()
    kept, idle = desk.enter("", basic("bot1", "pw")), desk.enter("", basic("bot2", "pw"))
    clock.seconds = 9
    desk.enter(kept.jsession, "")
    clock.seconds = 12

    assert desk.enter(idle.jsession, "") is None
    desk.sweep()
    assert len(desk) == 1
    clock.seconds = 20
    desk.sweep()
    assert len(desk) == 0


def test_a_balanced_session_needs_its_cookie():
    desk, _ = logins()
    login = desk.enter("", basic("bot1", "pw"))
    cookie = desk.move(login.jsession)

    assert desk.enter(login.jsession, "", cookie) is login
    assert desk.enter(login.jsession, "") is None
    assert desk.move("unknown") != cookie


def test_csrf_tokens_rotate_for_their_session_only():
    desk, _ = logins()
    login = desk.enter("", basic("bot1", "pw"))
    before = login.csrf
    desk.rotate_csrf("unknown")
    assert login.csrf == before
    desk.rotate_csrf(login.jsession)
    assert login.csrf != before
