"""imbot.bayeux.session: the table, row by row, and what holds for every conceivable peer."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imbot.bayeux.replies import MAX_ADVICE_MS
from imbot.bayeux.session import (
    MAX_BACKOFF_S,
    BayeuxResume,
    Chance,
    Channel,
    Do,
    Down,
    Gap,
    Up,
    Warned,
    answered,
    failed,
    opening,
    share_of,
)
from imbot.errors import Fault, FaultClass

WANTED = (Channel("/a"), Channel("/b", required=False))
LOST = Fault(FaultClass.TRANSPORT, text="lost")


class Loaded:
    """Dice that always fall the same."""

    def __init__(self, number):
        self.number = number

    def random(self):
        return self.number

    def uniform(self, a, b):
        return a + (b - a) * self.number


def at(now, number=0.5, *, asked_at=None):
    return Chance(now if asked_at is None else asked_at, now, Loaded(number))


def reply(session, **fields):
    return {"channel": f"/meta/{session.command.do}", "id": "1", "successful": True, **fields}


def after(session, now=0.0, number=0.5, *, asked_at=None, count=0, **fields):
    answer = reply(session, **fields)
    share = share_of(session, answer, count)
    chance = at(now, number, asked_at=asked_at)
    return answered(session, answer, metas=[answer], share=share, at=chance)


def polling(now=0.0, *, ack=None, channels=WANTED, **advice):
    """Return a session whose first connect has just succeeded."""
    session = opening(channels, good_at=now)
    ext = {} if ack is None else {"ext": {"ack": True}}
    session, _ = after(session, now, clientId="c", advice={"timeout": 30_000, **advice}, **ext)
    while session.command.do is not Do.CONNECT:
        session, _ = after(session, now)
    session, _ = after(session, now, ext={"ack": ack})
    assert session.is_open
    return session


def test_the_way_in_is_handshake_each_channel_connect_unheld_connect_held():
    session = opening(WANTED, good_at=0)
    steps = [session.command]
    session, _ = after(session, clientId="c")
    for _ in range(4):
        steps.append(session.command)
        session, reports = after(session)
        assert reports == ()

    assert [(step.do, step.channel, step.hold) for step in steps] == [
        (Do.HANDSHAKE, "", True),
        (Do.SUBSCRIBE, "/a", True),
        (Do.SUBSCRIBE, "/b", True),
        (Do.CONNECT, "", False),
        (Do.CONNECT, "", True),
    ]


def test_a_session_that_wants_nothing_connects_at_once():
    session, _ = after(opening((), good_at=0), clientId="c")

    assert session.command.do is Do.CONNECT


@pytest.mark.parametrize("client_id", [None, "", 5])
def test_a_handshake_without_a_client_id_has_failed(client_id):
    session, _ = after(opening(WANTED, good_at=0), clientId=client_id)

    assert session.command.do is Do.STOP


@pytest.mark.parametrize(
    ("types", "do"),
    [
        (["long-polling", "callback-polling"], Do.SUBSCRIBE),
        (["websocket"], Do.STOP),
        (None, Do.STOP),
    ],
)
def test_only_a_server_that_lists_long_polling_is_opened(types, do):
    """The stock server succeeds even when it shares no connection type. Source: 2.1 [J]."""
    session, _ = after(opening(WANTED, good_at=0), clientId="c", supportedConnectionTypes=types)

    assert session.command.do is do


@pytest.mark.parametrize(
    ("ext", "ack"),
    [
        ({"ack": True}, 0),
        ({"ack": {"enabled": True, "batch": 3}}, 0),
        ({"ack": False}, None),
        ({"ack": {"enabled": False}}, None),
        ({}, None),
        ("ack", None),
    ],
)
def test_ack_is_on_only_if_the_server_says_so(ext, ack):
    session, _ = after(opening(WANTED, good_at=0), clientId="c", ext=ext)

    assert session.ack == ack


@pytest.mark.parametrize(
    ("ack", "number"),
    [(5, 5), ({"batch": 6}, 6), (True, 3), (-1, 3), ("7", 3), (None, 3), (2.5, 3)],
)
def test_a_batch_number_is_a_whole_number(ack, number):
    session, _ = after(polling(ack=0)._replace(ack=3), ext={"ack": ack})

    assert session.ack == number


def test_a_batch_number_means_nothing_while_the_extension_is_off():
    session, _ = after(polling(), ext={"ack": 4})

    assert session.ack is None


@pytest.mark.parametrize("ack", [None, 0])
def test_a_lost_poll_is_a_gap_unless_the_server_sends_it_again(ack):
    session, reports = failed(polling(ack=ack), LOST, at=at(10))
    assert (session.command.do, session.command.hold, reports) == (Do.CONNECT, False, ())

    session, reports = after(session, 12)

    assert reports == (() if ack == 0 else (Gap("transport: lost", 0, 0),))
    assert (session.failures, session.gap_cause, session.command.hold) == (0, "", True)


@pytest.mark.parametrize("ack", [None, 0])
def test_a_gap_begins_where_the_last_good_connect_was_sent(ack):
    """What came up while its reply was on its way goes with a client id that is forgotten."""
    session, _ = after(polling(ack=ack), 30, asked_at=1)
    session, _ = after(session, 31, asked_at=30, successful=False, error="402::")
    while session.command.do is not Do.CONNECT:
        session, _ = after(session, 32, clientId="d")
    session, reports = after(session, 34, asked_at=33)

    assert reports == (Gap("server: /meta/connect: 402::", asked_at=1, good_at=30),)
    assert (session.asked_at, session.good_at) == (33, 34)


def test_one_lost_poll_is_no_outage_but_the_second_in_a_row_is():
    """A connection closed when idle happens every day; rules hear `lost` when it is."""
    session, first = failed(polling(), LOST, at=at(1))
    session, second = failed(session, LOST, at=at(2))
    session, third = failed(session, LOST, at=at(3))
    session, fourth = after(session, 4)

    assert (first, second, third) == ((), (Down("transport: lost"),), ())
    assert fourth == (Up(), Gap("transport: lost", 0, 0))


def test_a_poll_that_nobody_answered_is_an_outage_at_once():
    _, reports = failed(polling(), LOST, at=at(40))

    assert reports == (Down("transport: lost"),)


def test_the_first_retries_together_stay_below_max_interval():
    """Or the session is gone, and the ack extension worth nothing."""
    session, waited = polling(), 0.0
    for _ in range(6):
        session, _ = failed(session, LOST, at=at(waited, 0.999))
        waited += session.command.delay_s

    assert session.command.do is Do.CONNECT
    assert 5 < waited < 10


def test_a_client_id_is_given_up_when_the_server_must_have_forgotten_it():
    session = polling(maxInterval=20_000, interval=2_000)
    kept, _ = failed(session, LOST, at=at(51))
    given_up, _ = failed(session, LOST, at=at(52))

    assert (kept.command.do, given_up.command.do) == (Do.CONNECT, Do.HANDSHAKE)
    assert given_up.gap_cause == "transport: lost"


@pytest.mark.parametrize("asked", [7.0, 10**9])
def test_retry_after_is_a_lower_bound_within_reason(asked):
    session, _ = failed(polling(), replace(LOST, retry_after_s=asked), at=at(0))

    assert session.command.delay_s == min(asked, MAX_ADVICE_MS / 1000)


@pytest.mark.parametrize("fault_class", [FaultClass.AUTH, FaultClass.CSRF])
def test_what_needs_a_login_is_left_to_the_owner(fault_class):
    fault = Fault(fault_class, http_status=403)
    session, reports = failed(polling(), fault, at=at(0))

    assert (session.command.do, session.command.fault, reports) == (Do.STOP, fault, ())


def test_before_the_first_good_connect_every_failure_stops():
    """The owner of open() gets one typed error and decides."""
    session, reports = failed(opening(WANTED, good_at=0), LOST, at=at(0))

    assert (session.command.do, session.command.fault, reports) == (Do.STOP, LOST, ())


UNKNOWN = [
    "402::Unknown client",
    "402::session_unknown",
    "403::Unknown client",
    "401:abc:Unknown client",
    "402",
]


@pytest.mark.parametrize("error", UNKNOWN)
def test_an_unknown_client_handshakes_at_once_then_with_growing_patience(error):
    """By the number before the first colon: wordings differ by version. Source: 2.8."""
    session, delays = polling(), []
    for _ in range(4):
        session, _ = after(session, 0, 0.999, successful=False, error=error)
        assert (session.command.do, session.gap_cause != "") == (Do.HANDSHAKE, True)
        delays.append(session.command.delay_s)
        session = session._replace(command=polling().command)
    session, _ = after(session, 1_000, 0.999, successful=False, error=error)

    assert delays[0] <= 0.2
    assert delays[1] >= 1
    assert delays == sorted(delays)
    assert session.command.delay_s <= 0.2


@pytest.mark.parametrize("error", UNKNOWN)
def test_an_unknown_client_on_subscribe_handshakes_without_any_advice(error):
    session, _ = after(polling(), successful=False, error="402::")
    session, _ = after(session, clientId="c")
    session, _ = after(session, successful=False, error=error)

    assert session.command.do is Do.HANDSHAKE


def test_an_unknown_client_while_opening_stops():
    session, _ = after(opening(WANTED, good_at=0), clientId="c")
    session, _ = after(session, successful=False, error="402::Unknown client")

    assert session.command.do is Do.STOP


@pytest.mark.parametrize(
    ("fields", "do"),
    [
        ({"advice": {"reconnect": "retry"}}, Do.CONNECT),
        ({"advice": {"reconnect": "handshake"}}, Do.HANDSHAKE),
        ({"advice": {"reconnect": "none"}}, Do.STOP),
        ({"advice": {"reconnect": "sing"}}, Do.STOP),
        ({"advice": {"reconnect": None}}, Do.CONNECT),
        ({"advice": None}, Do.CONNECT),
        ({}, Do.CONNECT),
    ],
)
@pytest.mark.parametrize("successful", [True, False])
def test_advice_of_a_connect_is_obeyed_whether_or_not_it_succeeded(fields, do, successful):
    """GWS ends a session by a *successful* connect with advice none. Source: 2.6 [J]."""
    session, _ = after(polling(), successful=successful, **fields)

    assert session.command.do is do


@pytest.mark.parametrize(
    ("fields", "do"),
    [
        ({"error": "403::forbidden"}, Do.HANDSHAKE),
        ({"error": "401::credentials"}, Do.HANDSHAKE),
        ({"error": "403::forbidden", "advice": {"reconnect": "retry"}}, Do.CONNECT),
        ({"error": "500::oops"}, Do.CONNECT),
        ({"error": 7}, Do.CONNECT),
    ],
)
def test_a_refused_connect_without_advice_goes_by_its_number(fields, do):
    session, _ = after(polling(), successful=False, **fields)

    assert session.command.do is do


@pytest.mark.parametrize(
    ("fields", "do"),
    [
        ({"error": "403::Handshake denied", "advice": {"reconnect": "none"}}, Do.STOP),
        ({"error": "403::Handshake denied"}, Do.STOP),
        ({"error": "403::x", "advice": {"reconnect": "retry"}}, Do.HANDSHAKE),
        ({"error": "402::x", "advice": {"reconnect": "handshake"}}, Do.HANDSHAKE),
        ({"error": "500::x"}, Do.HANDSHAKE),
    ],
)
def test_a_refused_rehandshake_is_tried_again_unless_it_is_denied(fields, do):
    session, _ = after(polling(), successful=False, error="402::")
    session, _ = after(session, successful=False, **fields)

    assert session.command.do is do


def test_advice_none_is_of_the_reply_it_came_with_and_of_no_later_one():
    """Stale advice is an old bug of the reference clients."""
    session, _ = after(polling(), successful=False, advice={"reconnect": "handshake"})
    session, _ = failed(session._replace(command=polling().command), LOST, at=at(0))

    assert session.command.do is Do.CONNECT


@pytest.mark.parametrize("first", [[], [{"channel": "/meta/connect", "id": "0"}]])
def test_a_disconnect_that_answers_nothing_is_the_servers(first):
    session = polling()
    answer = reply(session)
    ended = [*first, {"channel": "/meta/disconnect", "successful": True}, answer]
    asked = [*first, {"channel": "/meta/disconnect", "id": "9"}, answer]

    stopped, _ = answered(session, answer, metas=ended, at=at(0))
    gone_on, _ = answered(session, answer, metas=asked, at=at(0))

    assert (stopped.command.do, gone_on.command.do) == (Do.STOP, Do.CONNECT)


def test_advice_is_merged_and_what_is_unsound_in_it_is_passed_over():
    session = polling(interval=500, maxInterval=7_000)
    for advice in (None, 5, {"timeout": 0}, {"interval": -1}, {"interval": True}, {"timeout": "9"}):
        session, _ = after(session, advice=advice)
    session, _ = after(session, advice={"timeout": float("inf"), "maxInterval": 10**30})

    assert (session.advice.timeout_ms, session.advice.interval_ms) == (30_000, 500)
    assert session.advice.max_interval_ms == MAX_ADVICE_MS
    assert (session.command.delay_s, session.command.timeout_s) == (0.5, 40)


def test_a_new_bayeux_session_forgets_the_wishes_of_the_old_one():
    session, _ = after(polling(), advice={"multiple-clients": True, "interval": 2000})
    session, _ = after(session, successful=False, error="402::")
    session, _ = after(session, clientId="d", advice={"timeout": 20_000})

    assert (session.advice.interval_ms, session.advice.timeout_ms) == (0, 20_000)


def test_a_rival_is_told_once_and_again_only_after_it_went():
    session, told = polling(), []
    for rival in (True, True, False, True):
        session, reports = after(session, advice={"multiple-clients": rival, "interval": 2000})
        told.append(len(reports))

    assert told == [1, 0, 0, 1]
    assert isinstance(reports[0], Warned)


def test_a_required_channel_refused_after_a_rehandshake_is_tried_again_and_told():
    session, _ = after(polling(), successful=False, error="402::")
    session, _ = after(session, clientId="d")
    session, reports = after(session, successful=False, error="403::denied")

    assert (session.command.do, session.channels) == (Do.HANDSHAKE, WANTED)
    assert [type(report) for report in reports] == [Warned, Down]


def test_an_optional_channel_refused_is_told_and_passed_over():
    session, _ = after(opening(WANTED, good_at=0), clientId="c")
    session, _ = after(session)
    session, reports = after(session, successful=False, error="403::denied")

    assert session.command.do is Do.CONNECT
    assert reports == (Warned(Fault(FaultClass.PERMISSION, text="/b: 403::denied")),)


@pytest.mark.parametrize("ack", [None, 4])
def test_a_resumed_session_polls_first_and_handshakes_only_if_forgotten(ack):
    session = opening(WANTED, good_at=0, resume=BayeuxResume("c", ack))
    assert (session.command.do, session.command.hold) == (Do.CONNECT, False)

    known, reports = after(session, 1)
    forgotten, _ = after(session, 1, successful=False, error="402::")
    broken, _ = failed(session, LOST, at=at(1))
    ended, _ = failed(session, Fault(FaultClass.AUTH), at=at(1))

    assert (known.command.do, known.is_open) == (Do.CONNECT, True)
    assert [type(report) for report in reports] == ([] if ack else [Gap])
    dos = forgotten.command.do, broken.command.do, ended.command.do
    assert dos == (Do.HANDSHAKE, Do.CONNECT, Do.STOP)
    assert (known.client_id, known.ack) == ("c", ack)


def test_a_resumed_session_is_tried_again_until_the_server_must_have_forgotten_it():
    """The reply to the first poll after a restart is as easily lost as any other."""
    left = BayeuxResume("c", 4)
    session = opening(WANTED, good_at=-3600, now=0, resume=left)
    soon, _ = failed(session, LOST, at=at(60))
    late, _ = failed(session, LOST, at=at(70))

    assert (soon.command.do, soon.command.hold, late.command.do) == (
        Do.CONNECT,
        False,
        Do.HANDSHAKE,
    )
    assert (soon.gap_cause, late.gap_cause) == ("", str(LOST))


def test_a_connect_that_is_not_held_is_missed_soon_unless_it_seems_to_be_held():
    """Forty seconds of waiting for a lost answer are longer than a server remembers."""
    session, timeouts = polling(), [polling().command.timeout_s]
    for seconds in range(4):
        session, _ = failed(session, LOST, at=at(seconds))
        timeouts.append(session.command.timeout_s)

    assert timeouts == [40, 10, 10, 40, 40]


# What came before -----------------------------------------------------------------------------


def test_a_batch_that_comes_again_is_told_by_its_number():
    """A proxy may repeat an answer; the same words said twice are two messages."""
    session, _ = after(polling(ack=0), ext={"ack": 1}, count=2)
    share = share_of(session, reply(session, ext={"ack": 1}), 2)
    again, reports = after(session, ext={"ack": 1}, count=2)

    assert (share.skip, share.fault) == (2, "")
    assert (again.ack, again.command.do) == (1, Do.CONNECT)
    assert [str(report.fault) for report in reports] == [
        "server: 2 messages that are kept already came again"
    ]


def test_what_is_added_to_a_batch_that_comes_again_is_new():
    session, _ = after(polling(ack=0), ext={"ack": 1}, count=2)
    session, _ = after(session, ext={"ack": 1}, count=3)

    assert session.kept == 3
    assert share_of(session, reply(session, ext={"ack": 1}), 4).skip == 3
    assert share_of(session, reply(session, ext={"ack": 2}), 4).skip == 0


def test_a_number_that_is_acknowledged_but_jumps_ahead_is_taken():
    """The numbers of replies that were lost are never seen."""
    session, _ = after(polling(ack=0), ext={"ack": 9}, count=1)
    assert (session.ack, session.kept, session.command.do) == (9, 1, Do.CONNECT)


@pytest.mark.parametrize(
    ("ext", "count", "skip"),
    [({"ack": 3}, 2, 2), ({"ack": 3}, 0, 0), ({}, 2, 0), ({"ack": "x"}, 1, 0)],
)
@pytest.mark.parametrize("successful", [True, False])
def test_numbers_that_cannot_be_trusted_end_the_session_with_a_gap(ext, count, skip, successful):
    """To acknowledge what never came would make the server forget it; so it begins anew."""
    session, _ = after(polling(ack=0), ext={"ack": 7}, count=1)
    assert share_of(session, reply(session, ext=ext), count).skip == skip

    session, _ = after(session, ext=ext, count=count, successful=successful)

    assert session.command.do is Do.HANDSHAKE
    assert "acknowledge" in session.gap_cause


def test_messages_without_any_reply_are_taken_and_the_session_begins_anew():
    """They have no number, and would come again under one."""
    session = polling(ack=0)
    share = share_of(session, {}, 1)
    lost, _ = failed(session, LOST, share=share, at=at(0))
    unnumbered = share_of(polling(), {}, 1)

    assert (share.skip, unnumbered.skip, unnumbered.fault) == (0, 0, "")
    assert (lost.command.do, bool(lost.gap_cause)) == (Do.HANDSHAKE, True)


def test_an_empty_reply_without_a_number_changes_nothing():
    session, _ = after(polling(ack=0), ext={"ack": 7})
    session, _ = after(session)
    assert (session.ack, session.command.do, session.gap_cause) == (7, Do.CONNECT, "")


class AckServer:
    """Sends every batch with a number, and again what was not acknowledged."""

    def __init__(self):
        self.number = 0
        self.unacknowledged = []

    def connect(self, acknowledged):
        self.unacknowledged = [one for one in self.unacknowledged if one[0] > acknowledged]
        self.number += 1
        fresh = [(min(number, self.number), text) for number, text in self.unacknowledged]
        self.unacknowledged = fresh
        return self.number, [text for _, text in fresh]

    def say(self, text):
        self.unacknowledged.append((self.number + 1, text))


@given(st.lists(st.sampled_from(["say", "poll", "lose", "repeat", "restart", "die"]), max_size=40))
def test_whatever_is_lost_or_repeated_each_message_is_taken_once(happenings):
    """Positions, not words: "yes" and "yes" are two answers."""
    server, session, said, taken, last = AckServer(), polling(ack=0), 0, [], None
    for happening in [*happenings, "poll", "poll"]:
        if happening == "say":
            server.say("yes")
            said += 1
            continue
        if happening in {"restart", "die"}:
            left = BayeuxResume("c", session.ack)
            session, last = opening(WANTED, good_at=0, now=0, resume=left), None
            continue
        if happening == "repeat" and last is not None:
            number, texts = last
        else:
            number, texts = server.connect(session.ack)
        if happening == "lose":
            session, _ = failed(session, LOST, at=at(0))
            continue
        last = number, texts
        answer = reply(session, ext={"ack": number})
        share = share_of(session, answer, len(texts))
        taken += texts[share.skip :]
        session, _ = answered(session, answer, metas=[answer], share=share, at=at(0))
        assert session.command.do is Do.CONNECT

    assert len(taken) == said


def test_who_goes_on_subscribes_what_was_pending_and_tells_the_gap_that_was_not_told():
    """A login lost between handshake and connect must leave nobody deaf, and no gap silent."""
    left = BayeuxResume("c", 0, pending=WANTED[1:], gap_cause="402")
    session = opening(WANTED, asked_at=-3, good_at=0, resume=left)
    assert (session.command.do, session.command.channel) == (Do.SUBSCRIBE, "/b")

    session, _ = after(session, 1)
    session, reports = after(session, 9)

    assert reports == (Gap("402", -3, 0),)
    assert (session.command.do, session.gap_cause) == (Do.CONNECT, "")


# Every conceivable peer -----------------------------------------------------------------------

JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["retry", "handshake", "none", "402::x", "403::y", "long-polling", "c"])
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["reconnect", "interval", "timeout", "maxInterval", "ack", "batch"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)
MESSAGES = st.fixed_dictionaries(
    {"channel": st.sampled_from(["/meta/connect", "/meta/disconnect", "/meta/subscribe"])},
    optional={
        "id": JSONS,
        "successful": st.booleans() | JSONS,
        "error": st.sampled_from(["402::x", "403::Unknown", "401::y", "500::z"]) | JSONS,
        "advice": st.fixed_dictionaries(
            {},
            optional={
                "reconnect": st.sampled_from(["retry", "handshake", "none"]) | JSONS,
                "interval": st.integers() | JSONS,
                "timeout": st.floats() | JSONS,
                "maxInterval": JSONS,
                "multiple-clients": JSONS,
            },
        )
        | JSONS,
        "ext": JSONS,
        "clientId": st.just("c") | JSONS,
        "supportedConnectionTypes": st.just(["long-polling"]) | JSONS,
    },
)
FAULTS = st.builds(
    Fault,
    st.sampled_from(FaultClass),
    retry_after_s=st.none() | st.floats(0, allow_nan=False),
)
HAPPENINGS = st.tuples(
    st.floats(0, 1000), st.floats(0, 0.999), FAULTS | st.lists(MESSAGES, min_size=1, max_size=3)
)


@settings(deadline=None)
@given(st.lists(HAPPENINGS, max_size=12), st.sampled_from([None, 0]), st.booleans())
def test_whatever_a_peer_says_every_wait_is_bounded_and_one_command_is_outstanding(
    happenings, ack, starts_open
):
    """Delays are never negative, never endless; a gap is never told while it lasts."""
    session = polling(ack=ack) if starts_open else opening(WANTED, good_at=0)
    now = 0.0
    for seconds, number, happening in happenings:
        now += seconds
        if isinstance(happening, Fault):
            session, reports = failed(session, happening, at=at(now, number))
        else:
            chance, first = at(now, number), happening[0]
            share = share_of(session, first, len(happening) - 1)
            session, reports = answered(session, first, metas=happening, share=share, at=chance)
        command = session.command
        assert 0 <= command.delay_s <= MAX_ADVICE_MS / 1000 + MAX_BACKOFF_S + 1
        assert 0 < command.timeout_s <= MAX_ADVICE_MS / 1000 + 10
        assert (command.fault is not None) == (command.do is Do.STOP)
        assert (command.channel != "") == (command.do is Do.SUBSCRIBE)
        if any(isinstance(report, Gap) for report in reports):
            assert (command.do, command.hold) == (Do.CONNECT, True)
        if command.do is Do.STOP:
            return


@settings(deadline=None)
@given(st.text().filter(lambda text: text not in {"retry", "handshake"}), st.booleans(), MESSAGES)
def test_unknown_advice_never_acts_on_its_own(reconnect, successful, message):
    """A client that does not know an advice must leave the decision to its owner."""
    answer = message | {"advice": {"reconnect": reconnect}, "successful": successful}
    session, _ = answered(polling(), answer, metas=[answer], at=at(0))

    assert session.command.do is Do.STOP


@settings(deadline=None)
@given(st.floats(0, 0.999), st.integers(0, 5000))
def test_back_off_grows_to_a_bound(number, failures):
    session = polling()._replace(failures=failures)
    after_it, _ = failed(session, LOST, at=at(0, number))

    assert 0 <= after_it.command.delay_s <= MAX_BACKOFF_S
