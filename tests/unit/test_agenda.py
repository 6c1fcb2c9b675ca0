"""Silences, calendars, schedules and hooks: what they bring, once, also over restarts."""

import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from imbot.engine.agenda import Agenda, Fired, UnknownWebhookError
from imbot.engine.sessions import SessionTable
from imbot.engine.timers import NEVER, Timers
from imbot.errors import ImbotError
from imbot.model import (
    ConnectionChange,
    ConnectionNotice,
    EventKind,
    ImSession,
    MessageNotice,
    SessionKey,
    SessionNotice,
)
from imbot.problems import Place
from imbot.records import EventSeen, Recovered, TimerGone, TimerSet
from imbot.rulebook.calendars import Calendar, Slot
from imbot.rulebook.schedules import Every
from imbot.rulebook.schema import (
    CalendarTrigger,
    End,
    IdleTrigger,
    Missed,
    Program,
    Rule,
    Rulebook,
    ScheduleTrigger,
    WebhookTrigger,
)
from imbot.testing.time import START, LoopClock

pytestmark = pytest.mark.looptime

KEY = SessionKey("bot1", "s1")
MINUTE = timedelta(minutes=1)


def book(*triggers, hours=(8, 18), enabled=True):
    """Return a rulebook with a rule for each trigger, and a calendar that is open every day."""
    rules = tuple(
        Rule(f"r{n}", Place("f"), "", n, (trigger,), Program((End(),)), enabled=enabled)
        for n, trigger in enumerate(triggers)
    )
    slot = Slot(hours[0] * 60, hours[1] * 60)
    return Rulebook(rules, {"support": Calendar("support", ZoneInfo("UTC"), ((slot,),) * 7)})


def every(minutes, missed=Missed.RUN_ONCE):
    return ScheduleTrigger(Every(minutes * 60, "UTC"), f"every {minutes}m UTC {missed}", missed)


class Begun:
    """A start of imbot: an agenda, its timers, and what both wrote and brought."""

    def __init__(self, rulebook, rows=None, clock=None):
        self.clock = clock or LoopClock()
        self.rows = {} if rows is None else rows
        self.events = []
        self.numbers = 0
        self.table = SessionTable(self.next_id)
        self.timers = Timers(self.clock, self.fire)
        self.agenda = Agenda(
            rulebook,
            self.timers,
            table=self.table,
            clock=self.clock,
            next_id=self.next_id,
        )

    def next_id(self, agent):
        self.numbers += 1
        return f"{agent}:{self.numbers}"

    def start(self, *sessions):
        for seen in sessions:
            self.table.restore(seen)
        due = sorted(self.rows.values(), key=lambda row: row.due_at)
        self.keep(self.agenda.restore(Recovered(sessions=sessions, timers=tuple(due))))
        self.timers.start()
        return self

    def keep(self, changes):
        for change in changes:
            if isinstance(change, TimerSet):
                self.rows[change.id] = change
            elif isinstance(change, TimerGone):
                assert self.rows.pop(change.id, None), f"{change.id} was no row"
            else:
                assert isinstance(change, EventSeen)

    def fire(self, timer):
        fired = self.agenda.fired(timer)
        self.keep(fired.changes)
        if fired.event is not None:
            assert EventSeen(fired.event) in fired.changes
            self.events.append(fired.event)

    def see(self, *notices, spoken=()):
        events = []
        for notice in notices:
            now = self.clock.now()
            if isinstance(notice, str):
                shown = SessionNotice(ImSession("s1", notice), now)
                events += self.table.see_session("bot1", shown, received_at=now)
            elif isinstance(notice, MessageNotice):
                events += self.table.see_message("bot1", notice, received_at=now)
            else:
                events += self.table.see_connection("bot1", notice, received_at=now)
        self.keep(self.agenda.of_batch(events, spoken))

    def say(self):
        self.see(MessageNotice("s1", "hi", self.clock.now()))

    def seen(self):
        """Return the kinds of the events, each with its minute."""
        return [(str(e.kind), (e.at - START) / MINUTE) for e in self.events]

    async def stop(self):
        await self.timers.close()
        return self.table.get(KEY)


# Silences -------------------------------------------------------------------------------------


async def test_a_silence_is_told_once_for_each_time_that_rules_wait_for():
    one = Begun(book(IdleTrigger(300.0), IdleTrigger(60.0), IdleTrigger(300.0))).start()
    one.see("Alerting")
    one.see("Talking")
    await asyncio.sleep(3600)

    assert one.seen() == [("idle", 1), ("idle", 5)]
    event = one.events[1]
    assert (event.agent, event.session.state, event.fields) == ("bot1", "Talking", {"idle": 300.0})
    assert event.session_key == KEY
    assert one.table.get(KEY).session == event.session
    await one.stop()


async def test_each_message_of_another_begins_the_silence_anew():
    """Also one of somebody who speaks under our name; imbot's own make no event at all."""
    one = Begun(book(IdleTrigger(300.0))).start()
    one.see("Talking")
    await asyncio.sleep(240)
    one.say()
    await asyncio.sleep(240)
    one.see(spoken=[KEY, SessionKey("bot1", "unknown")])
    assert one.timers.get("idle bot1/unknown/300.0") is None
    await asyncio.sleep(240)
    one.see(ConnectionNotice(ConnectionChange.LOST, one.clock.now()))
    await asyncio.sleep(3600)
    one.say()
    await asyncio.sleep(3600)

    minutes = [minute for _, minute in one.seen()]
    assert minutes == [13, 77]
    await one.stop()


async def test_nothing_is_silent_before_talking_or_after_completion():
    one = Begun(book(IdleTrigger(300.0))).start()
    one.see("Alerting")
    await asyncio.sleep(3600)
    one.see("Talking", MessageNotice("s1", "bye", one.clock.now()), "Completed")
    assert one.rows == {}
    await asyncio.sleep(3600)

    assert one.events == []
    one.see("Talking")
    assert len(one.timers) == 0
    await one.stop()


async def test_completion_ends_a_silence_that_was_measured():
    one = Begun(book(IdleTrigger(60.0), IdleTrigger(300.0))).start()
    one.see("Talking")
    await asyncio.sleep(120)
    one.see("Completed")

    assert one.rows == {}
    await asyncio.sleep(3600)
    assert one.seen() == [("idle", 1)]
    await one.stop()


async def test_a_silence_goes_on_over_a_restart_and_is_told_once():
    """What was told stays told; what was not is told, when it was due meanwhile right away."""
    first = Begun(book(IdleTrigger(60.0), IdleTrigger(600.0), IdleTrigger(3600.0))).start()
    first.see("Talking")
    await asyncio.sleep(300)
    entry = await first.stop()
    await asyncio.sleep(600)
    second = Begun(later := book(IdleTrigger(60.0), IdleTrigger(600.0)), first.rows)
    second.start(entry.seen())
    await asyncio.sleep(60)
    third = Begun(later, second.rows)
    await second.stop()
    third.start(entry.seen())
    await asyncio.sleep(3600)

    assert first.seen() == [("idle", 1)]
    assert second.seen() == [("idle", 15)]
    assert third.seen() == []
    assert {row.due_at for row in third.rows.values()} == {NEVER}
    assert len(third.rows) == 2
    await third.stop()


async def test_a_silence_of_a_session_that_is_over_is_forgotten_at_the_restart():
    first = Begun(book(IdleTrigger(60.0))).start()
    first.see("Talking")
    await first.stop()
    second = Begun(book(IdleTrigger(60.0)), first.rows).start()

    assert second.rows == {}
    await second.stop()


async def test_a_silence_that_nobody_measured_begins_with_the_start():
    first = Begun(book()).start()
    first.see("Talking")
    entry = await first.stop()
    await asyncio.sleep(600)
    second = Begun(book(IdleTrigger(60.0))).start(entry.seen())
    await asyncio.sleep(600)

    assert second.seen() == [("idle", 11)]
    await second.stop()


async def test_a_reload_counts_the_silence_that_is_there():
    """A silence that was told is not told again; a new time counts from its begin."""
    one = Begun(book(IdleTrigger(60.0), IdleTrigger(1800.0))).start()
    one.see("Talking")
    await asyncio.sleep(600)
    one.keep(one.agenda.adopt(book(IdleTrigger(60.0), IdleTrigger(900.0))))
    await asyncio.sleep(3600)
    one.keep(one.agenda.adopt(book(IdleTrigger(120.0))))
    await asyncio.sleep(60)

    assert [minute for _, minute in one.seen()] == [1, 15, 70]
    assert len(one.rows) == 1
    await one.stop()


async def test_the_length_of_a_silence_is_told_as_it_is_written():
    one = Begun(book(IdleTrigger(300.0), IdleTrigger(0.5))).start()
    one.see("Talking")
    await asyncio.sleep(3600)

    assert [repr(event.fields["idle"]) for event in one.events] == ["0.5", "300"]
    await one.stop()


async def test_a_silence_without_session_brings_nothing():
    one = Begun(book(IdleTrigger(60.0))).start()
    lost = TimerSet("idle bot1/s9/60.0", "idle", START, "bot1", "s9", {"after_s": 60.0})

    assert one.agenda.fired(lost) == Fired((TimerGone(lost.id),))
    await one.stop()


# Schedules and calendars ----------------------------------------------------------------------


async def test_a_schedule_fires_again_and_again_without_agent_and_session():
    one = Begun(book(every(15))).start()
    await asyncio.sleep(3601)

    assert one.seen() == [("schedule", 15), ("schedule", 30), ("schedule", 45), ("schedule", 60)]
    event = one.events[0]
    assert (event.agent, event.session, event.id) == ("", None, "imbot:1")
    assert event.fields == {
        "schedule": "every 15m UTC run_once",
        "scheduled_at": START + 15 * MINUTE,
    }
    assert [row.due_at for row in one.rows.values()] == [START + 75 * MINUTE]
    await one.stop()


async def test_a_calendar_fires_at_its_edges():
    """It is noon; the calendar closes at 18 and opens at 8."""
    opens = CalendarTrigger("support", opens=True, offset_s=-600.0)
    one = Begun(book(opens, CalendarTrigger("support", opens=False))).start()
    await asyncio.sleep(24 * 3600)

    assert one.seen() == [("calendar", 6 * 60), ("calendar", 20 * 60 - 10)]
    assert one.events[1].fields == {
        "calendar": "support",
        "edge": "opens",
        "offset_s": -600.0,
        "scheduled_at": START + (20 * 60 - 10) * MINUTE,
    }
    await one.stop()


@pytest.mark.parametrize(
    ("missed", "minutes"),
    [(Missed.RUN_ONCE, [61, 75]), (Missed.SKIP, [75]), (Missed.ALL, [61, 61, 61, 61, 75])],
)
async def test_what_was_missed_comes_after_the_restart_as_written(missed, minutes):
    first = Begun(book(every(15, missed))).start()
    await first.stop()
    await asyncio.sleep(61 * 60)
    second = Begun(book(every(15, missed)), first.rows).start()
    await asyncio.sleep(15 * 60)

    assert [int(minute) for _, minute in second.seen()] == minutes
    scheduled = [(e.fields["scheduled_at"] - START) / MINUTE for e in second.events]
    assert (
        scheduled
        == {
            Missed.RUN_ONCE: [60, 75],
            Missed.SKIP: [75],
            Missed.ALL: [15, 30, 45, 60, 75],
        }[missed]
    )
    await second.stop()


async def test_after_a_downtime_the_edge_that_came_last_is_told_last():
    """Whoever follows the edges of a calendar must not believe it closed while it is open."""
    edges = book(*(CalendarTrigger("support", opens=opens) for opens in (True, False)))
    first = Begun(edges).start()
    await asyncio.sleep(20 * 3600 - 60)
    await first.stop()
    await asyncio.sleep(25 * 3600)
    second = Begun(edges, first.rows).start()
    await asyncio.sleep(60)

    assert [event.fields["edge"] for event in first.events] == ["closes"]
    assert [event.fields["edge"] for event in second.events] == ["closes", "opens"]
    assert second.events[1].fields["scheduled_at"] == START + timedelta(hours=44)
    await second.stop()


async def test_missed_ones_come_at_most_fifty_a_second():
    first = Begun(book(every(1, Missed.ALL))).start()
    await first.stop()
    await asyncio.sleep(200 * 60)
    second = Begun(book(every(1, Missed.ALL)), first.rows).start()
    await asyncio.sleep(1.01)
    assert len(second.events) == 51
    await asyncio.sleep(30)
    assert len(second.events) == 200
    await second.stop()


async def test_a_reload_keeps_what_stayed_and_sets_what_is_new():
    one = Begun(book(every(15), every(40), CalendarTrigger("support", opens=False))).start()
    await asyncio.sleep(60)
    before = dict(one.rows)
    later = book(every(15), every(20), CalendarTrigger("support", opens=False), hours=(8, 13))
    changes = one.agenda.adopt(later)
    one.keep(changes)

    assert len(changes) == 3
    same = "schedule every 15m UTC run_once"
    assert one.timers.get(same) is before[same]
    await asyncio.sleep(3600)
    assert one.seen() == [
        ("schedule", 15),
        ("schedule", 20),
        ("schedule", 30),
        ("schedule", 40),
        ("schedule", 45),
        ("calendar", 60),
        ("schedule", 60),
        ("schedule", 60),
    ]
    one.keep(one.agenda.adopt(book(every(15), enabled=False)))
    assert one.rows == {}
    await one.stop()


async def test_a_reload_does_not_lose_what_is_due_at_that_moment():
    one = Begun(book(every(15))).start()
    await one.stop()
    await asyncio.sleep(15 * 60)

    assert one.agenda.adopt(book(every(15))) == []
    await one.stop()


async def test_what_never_comes_has_no_row():
    one = Begun(book(CalendarTrigger("support", opens=False), hours=(0, 24)))
    one.start()
    assert one.rows == {}
    one.keep(one.agenda.adopt(book(CalendarTrigger("support", opens=False))))
    assert len(one.rows) == 1
    one.keep(one.agenda.adopt(book(CalendarTrigger("support", opens=False), hours=(0, 24))))
    assert one.rows == {}
    await one.stop()


async def test_what_nobody_waits_for_any_more_is_taken_out_at_the_restart():
    first = Begun(book(every(15))).start()
    await first.stop()
    second = Begun(book(), first.rows).start()

    assert second.rows == {}
    unknown = TimerSet("schedule x", "schedule", START)
    assert second.agenda.fired(unknown) == Fired((TimerGone("schedule x"),))
    await second.stop()


# An operator's switch ---------------------------------------------------------------------------


async def test_an_operator_closes_a_calendar_over_restarts_and_reloads():
    """While it is closed it neither opens nor closes."""
    rules = book(CalendarTrigger("support", opens=False))
    first = Begun(rules).start()
    assert first.agenda.calendars["support"].is_open(START)
    first.keep(first.agenda.calendars.switch("support", closed=True))
    assert not first.agenda.calendars["support"].is_open(START)
    await first.stop()

    second = Begun(rules, first.rows).start()
    second.keep(second.agenda.adopt(rules))
    assert dict(second.agenda.calendars).keys() == {"support"}
    assert len(second.agenda.calendars) == 1
    assert not second.agenda.calendars["support"].is_open(START)
    await asyncio.sleep(12 * 3600)
    assert second.events == []

    second.keep(second.agenda.calendars.switch("support", closed=False))
    assert second.agenda.calendars["support"].is_open(START)
    await asyncio.sleep(24 * 3600)
    assert second.seen() == [("calendar", 30 * 60)]
    await second.stop()


async def test_a_calendar_that_is_not_there_cannot_be_closed():
    one = Begun(book())

    with pytest.raises(ImbotError, match="no calendar 'suport'; did you mean 'support'"):
        one.agenda.calendars.switch("suport", closed=True)
    with pytest.raises(ImbotError, match="there is none at all"):
        Begun(Rulebook()).agenda.calendars.switch("support", closed=True)


# Hooks ----------------------------------------------------------------------------------------


async def test_a_hook_makes_an_event():
    one = Begun(book(WebhookTrigger("order")))

    event = one.agenda.webhook("order", {"number": 5})

    assert (event.kind, event.agent, event.session) == (EventKind.WEBHOOK, "", None)
    assert event.fields == {"name": "order", "body": {"number": 5}}
    assert event.at == event.received_at == one.clock.now()


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (book(WebhookTrigger("order")), "no hook 'oder'; did you mean 'order'?"),
        (book(WebhookTrigger("order"), enabled=False), "no hook 'oder'; no rule waits for any"),
    ],
)
async def test_an_unknown_hook_is_refused(rules, text):
    with pytest.raises(UnknownWebhookError) as refusal:
        Begun(rules).agenda.webhook("oder", {})

    assert text in str(refusal.value)
