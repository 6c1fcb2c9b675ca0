"""Judges a schedule: what was promised is held, or visibly was not.

It knows what other parties said and heard, from the simulated GWS, and what imbot kept, from the
rows of its store. It uses nothing of imbot: whoever judges must not err as the judged one does.
"""

import json
import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from tests.faults.history import Happening, History

#: The rules of rules.yaml that say something of their own about a message, and what it begins with.
_ANSWERS = {
    "answer": "Re {} at ",
    "again": "Once more",
    "remind": "Reminded {}",
    "bye": "Farewell {}",
}
_ONCE = {"greet": "Hello {}", "notice": "Notice {}"}

_OPEN_RUNS = ("running", "waiting")
_OPEN_EFFECTS = ("sending", "unknown")
_PROMISED = ("accepted", "confirmed")


class Violation(NamedTuple):
    """One promise that was not held.

    Attributes:
        kind: Which, in a word or two.
        session_id: Where; empty for nowhere in particular.
        what: What happened, or did not.
    """

    kind: str
    session_id: str
    what: str

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.kind}: {self.what}" + (f" ({self.session_id})" if self.session_id else "")


@dataclass(slots=True)
class Judged:
    """What became of a schedule.

    Attributes:
        violations: What must not happen and did.
        counts: How often what may happen did: messages, unseen, parked, cancelled, ...
    """

    violations: list[Violation] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class _Effect(NamedTuple):
    effect_id: str
    run_id: str
    session_id: str
    operation: str
    state: str
    text: str


class _Run(NamedTuple):
    run_id: str
    rule_id: str
    state: str
    at_s: float
    detail: str


class _Event(NamedTuple):
    event_id: str
    session_id: str
    kind: str
    fields: dict[str, Any]
    state: str
    is_handled: bool
    suppressed: dict[str, str]


class _Gap(NamedTuple):
    agent: str
    session_ids: tuple[str, ...]
    started_s: float
    ended_s: float


class _Kept:
    """What imbot's store holds, as plain values; moments as virtual seconds."""

    def __init__(self, rows: sqlite3.Connection, start: datetime) -> None:
        began_us = int(start.timestamp() * 1_000_000)

        def seconds(moment: int) -> float:
            return (moment - began_us) / 1_000_000

        self.events = [
            _Event(
                event_id,
                session_id,
                kind,
                _plain(fields, {}),
                _plain(session, {}).get("state", ""),
                handled_at is not None,
                {one[0]: one[1] for one in _plain(suppressed, [])},
            )
            for event_id, session_id, kind, fields, session, handled_at, suppressed in rows.execute(
                "SELECT id, session_id, kind, fields, session, handled_at, suppressed FROM events"
            )
        ]
        self.runs = {
            run_id: _Run(run_id, rule_id, state, seconds(at), detail)
            for run_id, rule_id, state, at, detail in rows.execute(
                "SELECT run_id, rule_id, state, at, detail FROM runs"
            )
        }
        self.effects = [
            _Effect(effect_id, run_id, session_id, operation, state, _text(_plain(payload, None)))
            for effect_id, run_id, session_id, operation, state, payload in rows.execute(
                "SELECT effect_id, run_id, session_id, operation, state, payload FROM effects"
            )
        ]
        self.gaps = [
            _Gap(agent, tuple(_plain(names, [])), seconds(started), seconds(ended))
            for agent, names, started, ended in rows.execute(
                "SELECT agent, session_ids, started_at, ended_at FROM gaps"
            )
        ]
        self.sessions = dict(rows.execute("SELECT session_id, state FROM sessions"))
        self.timers = [
            str(timer_id) for (timer_id,) in rows.execute("SELECT id FROM timers WHERE kind='run'")
        ]


def _plain(text: str | None, otherwise: Any) -> Any:
    return otherwise if text is None else json.loads(text)


def _text(payload: Any) -> str:
    return payload.get("text", "") if isinstance(payload, dict) else ""


def judge(
    history: History, rows: sqlite3.Connection, start: datetime, *, echo: bool = True
) -> Judged:
    """Return what became of a schedule.

    Args:
        history: What GWS saw.
        rows: What imbot kept.
        start: The moment of second 0.
        echo: Whether GWS shows an agent its own words.
    """
    return _Judge(history, _Kept(rows, start), echo=echo).judged()


class _Judge:
    """Looks at one schedule."""

    def __init__(self, history: History, kept: _Kept, *, echo: bool) -> None:
        self._history = history
        self._echo = echo
        self._kept = kept
        self._result = Judged()
        self._heard: dict[str, list[Happening]] = defaultdict(list)
        for one in history.named("hears"):
            self._heard[one.session_id].append(one)
        self._ended = {one.session_id: one.at_s for one in history.named("hangs up", "completed")}
        self._talks = {one.session_id: one for one in history.named("talks")}
        self._rings = {one.session_id: one for one in history.named("rings")}
        self._effects: dict[str, list[_Effect]] = defaultdict(list)
        for effect in kept.effects:
            self._effects[effect.run_id].append(effect)

    def judged(self) -> Judged:
        """Return the result."""
        for one in self._history.named("fails"):
            self._accuse("ended by itself", "", one.text)
        self._result.counts["replies"] = sum(
            effect.operation == "SendMessage" for effect in self._kept.effects
        )
        self._result.counts["parked"] = sum(
            effect.operation == "SendMessage" and effect.state == "parked"
            for effect in self._kept.effects
        )
        self._look_at_ends()
        self._look_at_claims()
        self._look_at_texts()
        self._look_at_strangers()
        said: dict[tuple[str, str], list[Happening]] = defaultdict(list)
        for one in self._history.named("says"):
            said[one.session_id, one.text].append(one)
        for (session_id, text), all_said in said.items():
            self._look_at_message(session_id, text, all_said)
        for session_id in self._talks:
            self._look_at_session(session_id)
        self._look_at_ticks()
        return self._result

    def _accuse(self, kind: str, session_id: str, what: str) -> None:
        self._result.violations.append(Violation(kind, session_id, what))

    # Nothing may be left ----------------------------------------------------------------------

    def _look_at_ends(self) -> None:
        """At the end of a quiet time nothing is under way."""
        kept = self._kept
        for event in kept.events:
            if not event.is_handled:
                self._accuse("stuck", event.session_id, f"event {event.event_id} is not decided")
        for run in kept.runs.values():
            if run.state in _OPEN_RUNS:
                self._accuse("stuck", "", f"run {run.run_id} is {run.state}")
        for effect in kept.effects:
            if effect.state in _OPEN_EFFECTS:
                what = f"effect {effect.effect_id} is {effect.state}: {effect.text}"
                self._accuse("stuck", effect.session_id, what)
        for session_id, state in kept.sessions.items():
            if state != "Completed":
                self._accuse("stuck", session_id, f"imbot takes the session for {state}")
        for timer in kept.timers:
            self._accuse("stuck", "", f"timer {timer} waits for nothing")

    def _look_at_claims(self) -> None:
        """What imbot takes for said was said.

        Unless the other party said the very same words: nothing on the wire shows who spoke.
        """
        claimed = Counter(
            (effect.session_id, effect.text)
            for effect in self._kept.effects
            if effect.operation == "SendMessage" and effect.state in _PROMISED
        )
        for (session_id, text), count in claimed.items():
            heard = sum(one.text == text for one in self._heard[session_id])
            alike = sum(
                one.session_id == session_id and one.text == text
                for one in self._history.named("says")
            )
            if count > heard + alike:
                self._accuse("lost", session_id, f"taken for said, and nobody heard it: {text}")
            elif count > heard:
                self._result.counts["mistaken"] += count - heard

    def _look_at_strangers(self) -> None:
        """Nothing is taken for the other party's words that it has not said."""
        said = {(one.session_id, one.text) for one in self._history.named("says")}
        for event in self._kept.events:
            if event.kind == "message" and (event.session_id, event.fields["text"]) not in said:
                what = f"own words are taken for the other party's: {event.fields['text']}"
                self._accuse("own words", event.session_id, what)

    def _look_at_texts(self) -> None:
        """No text is rendered anew: what answers one message is always the same."""
        asked: dict[tuple[str, str], set[str]] = defaultdict(set)
        said = Counter((one.session_id, one.text) for one in self._history.named("says"))
        for one in self._history.named("asks"):
            words = one.text.removeprefix("SendMessage ")
            answered = words.partition(" at ")[0]
            if words.startswith("Re ") and said[one.session_id, answered[3:]] == 1:
                asked[one.session_id, answered].add(words)
        for (session_id, words), texts in asked.items():
            if len(texts) > 1:
                self._accuse("rendered twice", session_id, f"{words}: {len(texts)} texts")

    # Messages ---------------------------------------------------------------------------------

    def _look_at_message(self, session_id: str, text: str, said: list[Happening]) -> None:
        """Each time that it was said it was seen, or is in a gap; and what was seen is answered."""
        counts = self._result.counts
        counts["messages"] += len(said)
        seen = [
            event
            for event in self._kept.events
            if event.kind == "message"
            and event.session_id == session_id
            and event.fields["text"] == text
        ]
        unseen = len(said) - len(seen)
        counts["unseen"] += max(0, unseen)
        if unseen < 0:
            self._accuse("seen twice", session_id, f"said {len(said)}, seen {len(seen)}: {text}")
        elif unseen > sum(self._is_in_gap(one) for one in said) + self._taken(session_id, text):
            moments = ", ".join(f"{one.at_s:.3f}" for one in said)
            self._accuse("unreported", session_id, f"not seen, in no gap: {text} at {moments}")
        for rule_id, begins in _ANSWERS.items():
            if _wants(rule_id, text):
                self._look_at_answers(rule_id, begins.format(text), session_id, seen)
        if text.startswith("tag"):
            self._look_at_tag(session_id, text, seen)

    def _look_at_answers(
        self, rule_id: str, begins: str, session_id: str, seen: list[_Event]
    ) -> None:
        heard = sum(one.text.startswith(begins) for one in self._heard[session_id])
        if heard > len(seen):
            self._accuse("duplicated", session_id, f"heard {heard} times for {len(seen)}: {begins}")
        excused = sum(self._is_excused(rule_id, event) for event in seen)
        if rule_id == "again":  # the other party's same words may have been taken for the echo
            own = [
                one
                for one in self._kept.effects
                if (one.session_id, one.text) == (session_id, begins)
            ]
            excused += self._mistaken(own, begins)
        if heard + excused < len(seen):
            told = "; ".join(self._story(rule_id, event) for event in seen)
            self._accuse("lost", session_id, f"heard {heard} of {len(seen)}: {begins}: {told}")

    def _look_at_tag(self, session_id: str, text: str, seen: list[_Event]) -> None:
        written = any(
            one.session_id == session_id and f'"tagged": "{text}"' in one.text
            for one in self._history.named("user data")
        )
        for event in seen:
            if not written and not self._is_excused("tag", event):
                self._accuse("lost", session_id, f"not written: {self._story('tag', event)}")

    def _taken(self, session_id: str, text: str) -> int:
        """Return how many own messages of this text may have lent their echo to the other party's.

        Of which nobody can know whether they were said, or whose echo was lost in a gap, or never
        came: until that is learnt of a GWS, the same words are taken for it.
        """
        own = [
            one for one in self._kept.effects if (one.session_id, one.text) == (session_id, text)
        ]
        lost = sum(
            one.text == text and (not self._echo or self._is_in_gap(one))
            for one in self._heard[session_id]
        )
        return lost + sum(one.state not in _PROMISED for one in own) + self._mistaken(own, text)

    def _mistaken(self, own: list[_Effect], text: str) -> int:
        heard = sum(one.text == text for one in self._heard[own[0].session_id]) if own else 0
        return max(0, sum(one.state in _PROMISED for one in own) - heard)

    def _is_excused(self, rule_id: str, event: _Event) -> bool:
        """Whether it can be seen why an event was not answered; counts how."""
        counts = self._result.counts
        if (reason := event.suppressed.get(rule_id)) is not None:
            counts[f"suppressed {rule_id} {reason}"] += 1
            return True
        run = self._kept.runs.get(f"{event.event_id}/{rule_id}")
        if run is None:
            return False
        for state in ("parked", "expired"):
            if any(effect.state == state for effect in self._effects[run.run_id]):
                counts[f"excused: {state}"] += 1
                return True
        ended_s = self._ended.get(event.session_id)
        if run.state == "cancelled" and ended_s is not None and ended_s <= run.at_s:
            counts["cancelled"] += 1
            return True
        if "Completed" in run.detail and ended_s is not None and ended_s <= run.at_s:
            counts["withheld"] += 1
            return True
        return False

    def _story(self, rule_id: str, event: _Event) -> str:
        run = self._kept.runs.get(f"{event.event_id}/{rule_id}")
        if run is None:
            return f"no run of {rule_id} for {event.event_id}"
        effects = ", ".join(f"{one.operation} {one.state}" for one in self._effects[run.run_id])
        return f"run {run.run_id} {run.state} {run.detail!r}, effects: {effects or 'none'}"

    def _is_in_gap(self, said: Happening) -> bool:
        is_known = said.session_id in self._kept.sessions
        return any(
            gap.agent == said.agent
            and gap.started_s <= said.at_s <= gap.ended_s
            and (said.session_id in gap.session_ids or not is_known)
            for gap in self._kept.gaps
        )

    # Sessions ---------------------------------------------------------------------------------

    def _look_at_session(self, session_id: str) -> None:
        """Each session is known, greeted once and noticed once; or it is in a gap."""
        self._result.counts["sessions"] += 1
        if session_id not in self._kept.sessions:
            if not self._is_all_in_gap(session_id):
                self._accuse("unreported", session_id, "the session was never seen")
            return
        events = [event for event in self._kept.events if event.session_id == session_id]
        greeted = [e for e in events if e.kind == "state" and e.state == "Talking"]
        noticed = [e for e in events if e.kind == "message" and e.fields["text"].startswith("line")]
        self._look_at_once("greet", session_id, greeted)
        self._look_at_once("notice", session_id, noticed)

    def _look_at_once(self, rule_id: str, session_id: str, events: list[_Event]) -> None:
        text = _ONCE[rule_id].format(session_id)
        heard = sum(one.text == text for one in self._heard[session_id])
        if heard > 1:
            self._accuse("duplicated", session_id, f"heard {heard} times, a once reply: {text}")
        if heard or not events:
            return
        began = [e for e in events if f"{e.event_id}/{rule_id}" in self._kept.runs]
        if not any(self._is_excused(rule_id, event) for event in began or events):
            told = "; ".join(self._story(rule_id, event) for event in events)
            self._accuse("lost", session_id, f"{text}: {told}")

    def _is_all_in_gap(self, session_id: str) -> bool:
        rang, ended_s = self._rings[session_id], self._ended.get(session_id, math.inf)
        return any(
            gap.agent == rang.agent and gap.started_s <= rang.at_s and ended_s <= gap.ended_s
            for gap in self._kept.gaps
        )

    # Timers -----------------------------------------------------------------------------------

    def _look_at_ticks(self) -> None:
        """Each moment of a schedule comes once, and its post goes out once or is parked."""
        posted = Counter(one.text for one in self._history.named("tick"))
        events = [event for event in self._kept.events if event.kind == "schedule"]
        for moment, count in posted.items():
            if count > 1:
                self._accuse("duplicated", "", f"posted {count} times: {moment}")
        for moment, count in _moments(events).items():
            if count > 1:
                self._accuse("timer fired twice", "", f"{count} events: {moment}")
        for event in events:
            if not _posted(event, posted) and not self._is_excused("tick", event):
                self._accuse("lost", "", f"not posted: {self._story('tick', event)}")
        self._result.counts["ticks"] += len(events)


def _wants(rule_id: str, text: str) -> bool:
    match rule_id:
        case "answer":
            return not text.startswith("bye") and text != "again"
        case "again":
            return text == "again"
        case "remind":
            return text.startswith("remind")
        case _:
            return text.startswith("bye")


def _moments(events: Iterable[_Event]) -> Counter[str]:
    return Counter(_moment(event) for event in events)


def _moment(event: _Event) -> str:
    moment = event.fields["scheduled_at"]
    return str(next(iter(moment.values())) if isinstance(moment, dict) else moment)


def _posted(event: _Event, posted: Counter[str]) -> bool:
    moment = datetime.fromisoformat(_moment(event))
    return any(datetime.fromisoformat(each) == moment for each in posted)
