"""Silences, schedules, calendar edges and hooks through the whole engine."""

import asyncio
from datetime import UTC, datetime

import pytest

from imbot.engine.agenda import UnknownWebhookError
from imbot.engine.dispatch import lane_of
from imbot.engine.watching import Happened, Logged
from imbot.model import Event, EventKind, SessionKey
from imbot.records import EventSeen, TimerGone, TimerSet
from imbot.store.database import open_store
from imbot.testing.house import build
from imbot.testing.memory_store import MemoryStore
from imbot.testing.time import LoopClock

pytestmark = pytest.mark.looptime

RULES = """
version: 1
calendars:
  support:
    timezone: UTC
    open: {mon-sun: "08:00-18:00"}
rules:
  - id: idle
    trigger: {idle: 5m}
    do:
      - reply: Are you still there?
  - id: hourly
    trigger: {schedule: "0 * * * *", timezone: UTC}
    do:
      - log: "hourly {{ event.scheduled_at | isoformat }}"
  - id: closing
    trigger: {calendar: support, closes: 10m before}
    do:
      - log: "{{ event.calendar }} {{ event.edge }} soon"
  - id: hook
    trigger: {webhook: order}
    do:
      - log: "order {{ event.body.number }}"
"""


def logged(house):
    return [sight.text for sight in house.sights if isinstance(sight, Logged)]


async def test_a_silent_session_is_asked_once_in_each_silence():
    house = build(RULES)
    await house.start()
    await house.state("Talking")
    await asyncio.sleep(240)
    await house.say("hello")
    await asyncio.sleep(299)
    assert house.said() == []
    await asyncio.sleep(3600)
    assert len(house.said()) == 1
    await house.say("yes")
    await house.state("Completed")
    await asyncio.sleep(3600)

    assert len(house.said()) == 1
    await house.stop()


async def test_words_of_somebody_else_under_our_name_break_the_silence(monkeypatch):
    house = build(RULES)
    await house.start()
    await house.state("Talking")
    await asyncio.sleep(240)
    monkeypatch.setattr(house.dispatch, "_is_ours", lambda *_: True)
    await house.say("I am a person")
    await asyncio.sleep(240)
    assert house.said() == []
    await asyncio.sleep(120)

    assert len(house.said()) == 1
    await house.stop()


async def test_what_the_clock_and_hooks_bring_starts_rules():
    """It is noon: five full hours, and the calendar closes at 18."""
    house = build(RULES)
    await house.start()
    await house.post("order", {"number": 5})
    await asyncio.sleep(6 * 3600 - 1)

    assert logged(house) == [
        "order 5",
        "hourly 2026-03-01T13:00:00+00:00",
        "hourly 2026-03-01T14:00:00+00:00",
        "hourly 2026-03-01T15:00:00+00:00",
        "hourly 2026-03-01T16:00:00+00:00",
        "hourly 2026-03-01T17:00:00+00:00",
        "support closes soon",
    ]
    with pytest.raises(UnknownWebhookError, match="did you mean 'order'"):
        await house.post("oder", {})
    await house.stop()


async def test_an_event_and_the_next_timer_are_kept_together():
    """A crash between them would fire twice, or never again."""
    store = MemoryStore()
    house = build(RULES, store=store)
    await house.start()
    await asyncio.sleep(3601)
    await house.stop()

    seen = next(n for n, one in enumerate(store.durable) if isinstance(one, EventSeen))
    following = store.durable[seen + 1]
    assert isinstance(following, TimerSet)
    assert following.due_at == datetime(2026, 3, 1, 14, tzinfo=UTC)
    assert not any(isinstance(one, TimerGone) for one in store.durable)


@pytest.mark.parametrize("make", ["memory", "disk"])
async def test_a_restart_goes_on_with_every_timer(make, tmp_path):
    """The hour passed while imbot was down, and the silence as well."""

    def opened(store=None):
        if make == "memory":
            return MemoryStore() if store is None else store.reopened()
        clock = LoopClock()
        return open_store("sqlite:///s.db", clock=clock, base=tmp_path, executor="inline")

    first = build(RULES, store=opened())
    await first.start()
    await first.state("Talking")
    await asyncio.sleep(60)
    await first.stop()
    first.store.abandon()
    await asyncio.sleep(3 * 3600)
    second = build(RULES, store=opened(first.store))
    await second.start()
    await asyncio.sleep(60)

    assert logged(second) == ["hourly 2026-03-01T15:00:00+00:00"]
    kinds = [sight.event.kind for sight in second.sights if isinstance(sight, Happened)]
    assert sorted(kinds) == [EventKind.IDLE, EventKind.SCHEDULE]
    assert len(second.said()) == 1
    await second.stop()
    await second.store.close()


async def test_what_falls_due_while_nothing_new_is_begun_is_left_to_the_next_start():
    house = build(RULES)
    await house.start()
    house.dispatch.hold_back()
    await asyncio.sleep(3700)

    assert logged(house) == []
    assert (await house.store.recover(house.clock.now())).timers[0].kind == "schedule"
    await house.stop()


async def test_an_emergency_is_seen_by_conditions():
    rules = (
        RULES
        + """  - id: closed
    trigger: {webhook: ask}
    when: closed("support")
    do:
      - log: closed
"""
    )
    house = build(rules)
    await house.start()
    await house.post("ask", None)
    await house.settle()
    house.store.note(house.agenda.calendars.switch("support", closed=True))
    await house.post("ask", None)
    await house.settle()
    assert logged(house) == ["closed"]
    await asyncio.sleep(1)
    await house.stop()

    again = build(rules, store=house.store.reopened())
    await again.start()
    await again.post("ask", None)
    await again.settle()
    assert logged(again) == ["closed"]
    await again.stop()


def event(kind, agent="", **fields):
    at = datetime(2026, 3, 1, tzinfo=UTC)
    return Event("e", kind, at, at, agent, None, fields)


@pytest.mark.looptime(False)
def test_what_has_no_session_waits_only_for_its_like():
    """A slow schedule must not keep hooks waiting."""
    lanes = {
        lane_of(event(EventKind.SCHEDULE, schedule="a")),
        lane_of(event(EventKind.SCHEDULE, schedule="b")),
        lane_of(event(EventKind.CALENDAR, calendar="a", edge="opens")),
        lane_of(event(EventKind.WEBHOOK, name="a")),
    }

    assert len(lanes) == 4
    assert lane_of(event(EventKind.CONNECTION, "bot1", change="lost")) == SessionKey("bot1", "")
