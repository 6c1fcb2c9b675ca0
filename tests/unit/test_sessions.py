"""The session table: what a notice makes of what is known, whatever order notices come in."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.engine.dispatch import Numbers
from imbot.engine.ownwrites import ABSENT
from imbot.engine.sessions import (
    REMEMBERED_COMPLETED,
    REMEMBERED_TEXTS,
    SessionTable,
    goes_forward,
)
from imbot.model import (
    ConnectionChange,
    ConnectionNotice,
    EventKind,
    ImSession,
    MessageNotice,
    Participant,
    SessionKey,
    SessionNotice,
    SessionState,
    SnapshotNotice,
)
from imbot.records import SessionSeen

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = SessionKey("bot1", "s1")
STATES = [state.value for state in SessionState]


def at(seconds=0.0):
    return T0 + timedelta(seconds=seconds)


def shown(state="Talking", session_id="s1", kind="StatusChange", seconds=0.0, **more):
    more.setdefault("participants", (Participant("3002"),))
    return SessionNotice(ImSession(session_id, state, **more), at(seconds), kind)


class Book:
    """A table and the shortest way to tell it something."""

    def __init__(self):
        self.table = SessionTable(Numbers().next_id)

    def see(self, *args, **more):
        notice = shown(*args, **more)
        return self.table.see_session("bot1", notice, received_at=notice.at)

    def data(self, kind="AttachedDataChanged", seconds=0.0, **user_data):
        return self.see("Talking", kind=kind, seconds=seconds, user_data=user_data)

    def say(self, text="hi", session_id="s1"):
        notice = MessageNotice(session_id, text, at())
        return self.table.see_message("bot1", notice, received_at=at())

    def snapshot(self, *sessions, asked=5.0, since=1.0):
        notice = SnapshotNotice(sessions, at(asked + 1), at(asked), at(since))
        return self.table.see_snapshot("bot1", notice)

    @property
    def entry(self):
        return self.table.get(KEY)


@pytest.fixture
def book():
    return Book()


def edges(events):
    """Return (previous, state) of each state event."""
    return [
        (event.fields.get("previous"), event.session.state)
        for event in events
        if event.kind is EventKind.STATE
    ]


def changes(events, *, own=False):
    """Return what each user-data event says changed."""
    return [
        event.fields["changed"]
        for event in events
        if event.kind is EventKind.USERDATA and event.own is own
    ]


# States ---------------------------------------------------------------------------------------


def test_the_first_sight_of_a_state_is_an_edge(book):
    """Rules must not miss a session that is first seen Talking."""
    assert edges(book.see("Talking")) == [(None, "Talking")]


def test_a_state_seen_again_is_no_edge(book):
    """GWS repeats itself; a greeting must not."""
    book.see("Talking")

    assert book.see("Talking") == []


def test_an_edge_tells_where_it_came_from(book):
    """``{from: Alerting, to: Talking}`` is a trigger."""
    book.see("Alerting")

    assert edges(book.see("Talking")) == [("Alerting", "Talking")]


@pytest.mark.parametrize("early", ["Alerting", "Initiating"])
def test_who_speaks_talks(book, early):
    """The news that it talks may have been lost; a reply would be withheld, and no one greeted."""
    book.see(early)

    talks, said = book.say()

    assert edges([talks]) == [(early, "Talking")]
    assert (said.kind, said.session.state) == ("message", "Talking")
    assert [event.kind for event in book.say()] == ["message"]
    assert book.see("Talking") == []


def test_a_state_that_comes_late_is_ignored_whole(book):
    """What it says of user data is as old as its state."""
    book.see("Talking", user_data={"a": "new"})

    assert book.see("Alerting", user_data={"a": "old"}) == []
    assert book.entry.session.user_data == {"a": "new"}


def test_completed_is_final(book):
    """Nothing brings a session back."""
    book.see("Completed")

    assert book.see("Talking") == []
    assert [event.session.state for event in book.say()] == ["Completed"]
    assert book.entry.completed_at == at()


def test_an_unknown_state_is_kept_and_left_again(book):
    """A newer GWS may know states that we do not."""
    book.see("Talking")

    assert edges(book.see("OnHold")) == [("Talking", "OnHold")]
    assert edges(book.see("Talking")) == [("OnHold", "Talking")]
    assert not book.entry.session.is_completed


@given(st.permutations([*STATES, "Talking", "Alerting"]))
def test_the_final_state_does_not_depend_on_the_order(order):
    """Events ride on any reply; their order is not to be trusted."""
    book = Book()
    seen = [edge for state in order for edge in edges(book.see(state))]

    assert book.entry.session.state == "Completed"
    ranks = [STATES.index(state) for _, state in seen]
    assert ranks == sorted(set(ranks))


@given(st.lists(st.sampled_from([*STATES, "OnHold", ""]), max_size=12))
def test_every_edge_goes_forward_and_leads_from_the_last(states):
    """A rule sees a path through the states, not a jumble."""
    book = Book()
    at_last = None
    for state in states:
        for previous, now in edges(book.see(state)):
            assert previous == at_last
            assert previous is None or goes_forward(previous, now)
            at_last = now


def test_when_it_was_first_talking_is_kept(book):
    """Idle times count from there."""
    book.see("Alerting", seconds=1)
    book.see("Talking", seconds=2)
    book.see("Talking", seconds=3)

    assert book.entry.talking_at == at(2)


def test_fields_that_a_notice_leaves_out_stay_as_they_were(book):
    """Participants may be empty while Initiating; capabilities are not always listed."""
    book.see("Alerting", capabilities=("SendMessage",))
    book.see("Talking", participants=(), capabilities=None)

    assert book.entry.session.participants == (Participant("3002"),)
    assert book.entry.session.capabilities == ("SendMessage",)


def test_an_alias_names_the_same_session(book):
    """The documentation's own sample has two ids for one session."""
    book.see("Talking", aliases=("s1-path",))

    assert book.say(session_id="s1-path")[0].session.id == "s1"
    assert edges(book.see("Completed", session_id="s1-path")) == [("Talking", "Completed")]


# User data ------------------------------------------------------------------------------------


def test_what_others_change_is_an_event_with_old_and_new(book):
    """Rules look at single keys."""
    book.see("Talking", user_data={"a": "1", "b": "1"})

    assert changes(book.data(a="2", c="3")) == [
        {"a": {"old": "1", "new": "2"}, "b": {"old": "1"}, "c": {"new": "3"}}
    ]
    assert book.entry.session.user_data == {"a": "2", "c": "3"}


def test_a_status_change_without_user_data_removes_none(book):
    """GWS leaves user data out at will; only a data notice shows all of it."""
    book.see("Talking", user_data={"customerId": "7"})

    (over,) = book.see("Completed")

    assert over.session.user_data == {"customerId": "7"}


def test_our_own_write_is_told_apart(book):
    """What we set must not start our rules."""
    book.see("Talking")
    book.table.expect_write(KEY, {"a": "1"})

    events = book.data(a="1", b="2")

    assert changes(events) == [{"b": {"new": "2"}}]
    assert changes(events, own=True) == [{"a": {"new": "1"}}]


def test_a_notice_from_before_our_write_does_not_undo_it(book):
    """The server may have been about to say something older."""
    book.see("Talking", user_data={"a": "0"})
    book.table.expect_write(KEY, {"a": "1"})

    assert book.data(a="0") == []
    assert book.entry.session.user_data == {"a": "1"}


def test_somebody_else_may_be_faster_than_our_write(book):
    """Then it is their change, from the value before ours."""
    book.see("Talking", user_data={"a": "0"})
    book.table.expect_write(KEY, {"a": "1"})

    assert changes(book.data(a="9")) == [{"a": {"old": "0", "new": "9"}}]


def test_a_withdrawn_write_leaves_what_was(book):
    """It surely did not happen."""
    book.see("Talking", user_data={"a": "0"})
    book.table.expect_write(KEY, {"a": "1", "b": "1"})

    book.table.withdraw_write(KEY, {"a": "1", "b": "1", "c": "1"})

    assert book.entry.session.user_data == {"a": "0"}


def test_writing_twice_before_gws_shows_it_keeps_the_first_old_value(book):
    """The change that GWS will show is from what it had."""
    book.see("Talking", user_data={"a": "0"})
    book.table.expect_write(KEY, {"a": "1"})
    book.table.expect_write(KEY, {"a": "2"})

    assert changes(book.data(a="2"), own=True) == [{"a": {"old": "0", "new": "2"}}]


def test_each_of_our_writes_to_one_key_is_ours(book):
    """GWS shows them one by one."""
    book.see("Talking")
    book.table.expect_write(KEY, {"a": "1"})
    book.table.expect_write(KEY, {"a": "2"})

    assert changes(book.data(a="1"), own=True) == [{"a": {"new": "1"}}]
    assert book.entry.session.user_data == {"a": "2"}
    assert changes(book.data(a="2"), own=True) == [{"a": {"old": "1", "new": "2"}}]


def test_withdrawing_one_write_leaves_the_other(book):
    """Only the one that failed did not happen."""
    book.see("Talking")
    book.table.expect_write(KEY, {"a": "1"})
    book.table.expect_write(KEY, {"a": "2"})
    book.table.withdraw_write(KEY, {"a": "2"})

    assert book.entry.session.user_data == {"a": "1"}


def test_our_own_deletion_is_told_apart(book):
    """Deleting is a write like any other."""
    book.see("Talking", user_data={"a": "0"})
    book.table.expect_write(KEY, {"a": ABSENT})

    events = book.data()

    assert changes(events, own=True) == [{"a": {"old": "0"}}]
    assert repr(ABSENT) == "<absent>"


def test_a_write_that_changes_nothing_is_no_event(book):
    """It was so before."""
    book.see("Talking", user_data={"a": "0"})
    book.table.expect_write(KEY, {"a": "0"})

    assert book.data(a="0") == []


def test_writes_to_a_session_nobody_knows_are_nothing(book):
    """The session may have been forgotten meanwhile."""
    book.table.expect_write(KEY, {"a": "1"})
    book.table.withdraw_write(KEY, {"a": "1"})
    book.table.claim(KEY)

    assert book.entry is None


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("012")), max_size=8))
def test_changes_always_lead_from_the_last_user_data_to_the_next(series):
    """What rules are told adds up to what GWS shows."""
    book = Book()
    book.see("Talking")
    told = {}
    for data in series:
        for changed in changes(book.data(**data)):
            for key, change in changed.items():
                assert change.get("old") == told.get(key)
                told.pop(key, None)
                if "new" in change:
                    told[key] = change["new"]
        assert told == data == book.entry.session.user_data


# Messages, snapshots, connections -------------------------------------------------------------


def test_what_the_other_party_says_is_remembered(book):
    """``said()`` asks for it."""
    book.see("Talking")
    (event,) = book.say("hello")

    assert event.fields == {"text": "hello"}
    assert book.entry.said == ["hello"]


def test_only_so_many_texts_are_remembered(book):
    """A talkative party must not fill the memory."""
    book.see("Talking")
    for n in range(REMEMBERED_TEXTS + 5):
        book.say(str(n))

    assert len(book.entry.said) == REMEMBERED_TEXTS
    assert book.entry.said[0] == "5"


def test_a_message_to_a_session_that_nobody_showed_is_ignored(book):
    """Whoever reads the wire asks GWS first; what GWS does not list is over."""
    assert book.say() == []


def test_a_snapshot_shows_what_began_and_what_ended_meanwhile(book):
    """After a gap the state is read again."""
    book.see("Talking")

    events = book.snapshot(ImSession("s2", "Talking"))

    assert edges(events) == [(None, "Talking"), ("Talking", "Completed")]
    assert all(event.resync and event.received_at == at(1) for event in events)


def test_what_was_seen_after_a_snapshot_was_asked_for_is_newer(book):
    """The answer was under way while the notification came."""
    book.see("Talking", seconds=6)
    book.see("Talking", session_id="s2", seconds=6)

    assert book.snapshot(ImSession("s1", "Alerting"), asked=5) == []
    assert book.table.get(SessionKey("bot1", "s2")).session.state == "Talking"


def test_a_snapshot_of_another_agent_ends_nothing(book):
    """The two ends of one call are two sessions."""
    book.see("Talking")
    notice = SnapshotNotice((), at(9), at(8), at(1))

    assert book.table.see_snapshot("bot2", notice) == []


def test_a_connection_event_goes_to_each_live_session_or_to_the_agent(book):
    """``connection`` rules may reply where there is somebody to reply to."""
    notice = ConnectionNotice(ConnectionChange.GAP, at(), "lost poll", 2.0)

    (alone,) = book.table.see_connection("bot1", notice, received_at=at())
    book.see("Talking")
    book.see("Completed", session_id="s2")
    (bound,) = book.table.see_connection("bot1", notice, received_at=at())

    assert alone.session is None
    assert alone.session_key is None
    assert bound.session.id == "s1"
    assert bound.fields == {"change": "gap", "reason": "lost poll", "seconds": 2.0}


# Depth ----------------------------------------------------------------------------------------


def depths(events):
    return [event.depth for event in events]


def test_what_comes_from_outside_has_no_depth(book):
    assert depths([*book.see("Talking"), *book.say(), *book.data(a="1")]) == [0, 0, 0]


def test_what_our_write_brings_has_the_depth_of_its_run(book):
    """So that rules which set each other off by what they write come to an end."""
    book.see("Talking")
    book.table.expect_write(KEY, {"a": "1"}, depth=3)

    assert depths(book.data(a="1", b="by others")) == [0, 3]


def test_all_that_happens_in_a_session_that_we_began_has_its_depth(book):
    """Also at its other end, when that is ours; and after what other things would have less."""
    with book.table.beginning("bot1", depth=4):
        first = book.see("Initiating")
    book.table.claim(KEY, depth=4)
    other = book.table.see_session("bot2", shown("Alerting"), received_at=at())
    book.table.expect_write(KEY, {"a": "1"}, depth=2)

    assert depths([*first, *book.see("Talking"), *other, *book.say(), *book.data(a="1")]) == [4] * 5


def test_a_session_that_rings_meanwhile_came_from_outside(book):
    with book.table.beginning("bot1", depth=4):
        rung = book.see("Alerting", session_id="s9")

    assert depths(rung) == [0]


def test_a_session_that_is_found_later_has_the_depth_all_the_same(book):
    """GWS may answer before it shows the session."""
    book.table.claim(KEY, depth=2)

    assert depths(book.see("Initiating")) == [2]


def test_the_depth_of_a_session_is_forgotten_with_it(book):
    book.table.claim(SessionKey("bot1", "s0"), depth=2)
    for n in range(REMEMBERED_COMPLETED + 1):
        book.see("Completed", session_id=f"s{n}")

    assert book.table._depths == {}


# Memory ---------------------------------------------------------------------------------------


def test_completed_sessions_are_forgotten_after_so_many(book):
    """The table must not grow with the years; late notices are rare."""
    for n in range(REMEMBERED_COMPLETED + 3):
        book.see("Completed", session_id=f"s{n}", aliases=(f"a{n}",))

    assert len(book.table) == REMEMBERED_COMPLETED
    assert book.table.get(SessionKey("bot1", "a0")) is None
    assert book.table.get(SessionKey("bot1", "a5")).key.session_id == "s5"


def test_a_restored_session_is_as_it_was(book):
    """A restart is no new session."""
    session = ImSession("s1", "Talking", {"a": "1"}, (Participant("3002"),), aliases=("x",))
    book.table.restore(SessionSeen("bot1", session, at(1), at(2), talking_at=at(1)), ("hi",))
    over = ImSession("s2", "Completed")
    book.table.restore(SessionSeen("bot1", over, at(1), at(2), completed_at=at(2)))

    assert book.see("Talking") == []
    assert book.entry.said == ["hi"]
    assert not book.entry.is_new
    assert [entry.key for entry in book.table.live("bot1")] == [KEY]
    assert book.entry.seen().talking_at == at(1)


def test_a_session_we_began_is_ours(book):
    """``session.mine`` says so."""
    book.see("Initiating")
    book.table.claim(KEY)

    assert book.entry.seen().mine


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATES, STATES)))
def test_states_go_forward_only(old, new):
    """The documented order, pair by pair."""
    assert goes_forward(old, new) is (STATES.index(new) > STATES.index(old))
