"""What a kill at each step of the journal leaves, and what must come of it: reliability 2.1.

The store is read beside imbot, by SQL; what GWS heard is counted by whoever plays the session.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.faults.tapped import Moment
from tests.wire.house import STORE

STEPS = tuple(f"J{number}" for number in range(17))

#: Steps whose rows name the effect, and not just the rule.
_OF_EFFECTS = frozenset({"J8", "J9", "J13", "J14", "J15"})


class Target(NamedTuple):
    """The exchange in which imbot is killed.

    Attributes:
        rule: The rule.
        heard: What its notification holds.
        said: What its request holds.
        event: The kind of its event.
        effect: How the id of its effect ends: step and call.
        text: What the visitor hears of it; empty when it says nothing.
    """

    rule: str
    heard: str
    said: str
    event: str
    effect: str
    text: str = ""


TARGETS: Mapping[str, Target] = {
    one.rule: one
    for one in (
        Target("answer", "ping", "pong", "message", "/0/im1", "pong to ping 1"),
        Target("greet", "Talking", "Hello", "state", "/0/im1", "Hello there."),
        Target("goodbye", "bye", '"Complete"', "message", "/0/im2"),  # after its reason
    )
}


def moment(step: str, when: str, rule: str = "answer") -> Moment:
    """Return this moment of the exchange with this rule."""
    target = TARGETS[rule]
    rows_of = f"/{rule}{target.effect}" if step in _OF_EFFECTS else rule
    return Moment(step, when, target.heard, rows_of, target.said, rule)


#: Every step of an answer, before and after.
MOMENTS = tuple(moment(step, when) for step in STEPS for when in ("before", "after"))


def moments_of(rule: str) -> tuple[Moment, ...]:
    """Return every moment that the exchange with a rule has: only words have an echo."""
    without = {"answer": (), "greet": ("J16",), "goodbye": ("J15", "J16")}[rule]
    return tuple(moment(at.step, at.when, rule) for at in MOMENTS if at.step not in without)


# The table --------------------------------------------------------------------------------------

#: Effect states in the store of a process that was killed; None where there is no row.
_NOTHING, _SENDING = frozenset({None}), frozenset({"sending"})
#: Decision and intent may share the transaction of the batch.
_ANY = frozenset({None, "sending"})
_PROVEN = frozenset({"accepted", "confirmed"})


class Row(NamedTuple):
    """What a kill leaves in the store, and how often the next process must say it.

    Attributes:
        effect: The states in which the effect may stand.
        event: Whether the event is kept; None where both may be.
        is_unsent: Whether GWS surely never had it: what may be on its way is then proven absent
            and said by the second attempt.
    """

    effect: frozenset[str | None]
    event: bool | None
    is_unsent: bool = True


def row(at: Moment) -> Row:
    """Return the line of the table for a moment."""
    return next(one for last, one in _TABLE if _place(at.step, at.when) <= last)


def _place(step: str, when: str) -> int:
    return STEPS.index(step) * 2 + (when == "after")


#: Up to and with this moment: what is left.
_TABLE = (
    (_place("J4", "before"), Row(_NOTHING, event=False)),
    (_place("J5", "after"), Row(_ANY, event=True)),
    (_place("J7", "before"), Row(_NOTHING, event=None)),
    (_place("J7", "after"), Row(_ANY, event=True)),
    (_place("J9", "before"), Row(_NOTHING, event=None)),
    (_place("J11", "before"), Row(_SENDING, event=True)),
    (_place("J14", "before"), Row(_SENDING | {"confirmed"}, event=True, is_unsent=False)),
    (_place("J15", "before"), Row(_PROVEN | {"sending"}, event=True, is_unsent=False)),
    (_place("J15", "after"), Row(frozenset({"confirmed"}), event=True, is_unsent=False)),
    (_place("J16", "after"), Row(_PROVEN | {None}, event=None, is_unsent=False)),
)


# What is left -----------------------------------------------------------------------------------


class Left(NamedTuple):
    """What the store holds of an exchange.

    Attributes:
        event: Whether the event is kept.
        effect: State of what was to be sent; None when it was never intended.
        attempt: Which attempt that is; 0 when there is none.
    """

    event: bool
    effect: str | None
    attempt: int


@dataclass
class Killed:
    """One kill and what came of it.

    Attributes:
        moment: When.
        ack: Whether GWS sends again what was not acknowledged.
        left: What was in the store right after; None where it was killed again.
        ended: What was in the store when nothing was open any more.
        said: How often GWS heard each text of ours.
        completed: How often a Complete took effect.
        restart_s: Seconds from the start of the next process to its first good poll.
        wrong: What the table does not allow.
        log: What the processes wrote.
    """

    moment: Moment
    ack: bool = True
    left: Left | None = None
    ended: Left | None = None
    said: dict[str, int] = field(default_factory=dict)
    completed: int = 0
    restart_s: float = 0.0
    wrong: list[str] = field(default_factory=list)
    log: str = ""

    def __str__(self) -> str:
        """Return what was done."""
        return f"{self.moment}{'' if self.ack else ' without ack'}"

    def expect(self, holds: object, what: str) -> None:
        """Note what is wrong unless this holds."""
        if not holds:
            self.wrong.append(what)


def judge(found: Killed, folder: Path) -> None:
    """Hold what came of a kill against the table."""
    line, left = row(found.moment), found.left
    if left is not None:
        found.expect(left.effect in line.effect, f"killed, it left the effect {left.effect}")
        found.expect(line.event in {None, left.event}, f"killed, the event is kept: {left.event}")
    twice = {text: times for text, times in found.said.items() if times > 1}
    found.expect(not twice, f"said twice: {twice}")
    found.expect(found.completed <= 1, f"it completed {found.completed} times")
    if found.ack:
        _judge_whole(found, folder)
    else:
        _judge_told(found, folder)
    found.expect(is_quiet(folder), "something is open or in doubt")
    check = rows(folder, "PRAGMA quick_check")
    found.expect(check == [("ok",)], f"quick_check says {check}")


def _judge_whole(found: Killed, folder: Path) -> None:
    """Expect that nothing is lost and nothing parked, and that the right attempt did it."""
    texts = {one.text for one in TARGETS.values() if one.text}
    found.expect(set(found.said) == texts, f"it said {found.said}")
    found.expect(found.completed == 1, "it was not imbot that completed the session")
    found.expect(not _count(folder, _PARKED), "something is parked")
    found.expect(not _count(folder, _GAPS), "there is a gap")
    target, left = TARGETS[found.moment.target], found.left
    if left is None or not target.text or found.moment.step == "J16":
        return
    attempt = 2 if row(found.moment).is_unsent and left.effect == "sending" else 1
    # What GWS took is settled, even when its echo came after all that could be waited for.
    effect = "accepted" if left.effect == found.ended.effect == "accepted" else "confirmed"
    wanted = Left(event=True, effect=effect, attempt=attempt)
    found.expect(found.ended == wanted, f"in the end it is {found.ended} and not {wanted}")


def _judge_told(found: Killed, folder: Path) -> None:
    """Expect that people can see what is missing: the server does not send anything again."""
    texts = {one.text for one in TARGETS.values() if one.text}
    is_told = _count(folder, _PARKED) or _count(folder, _GAPS)
    is_whole = set(found.said) == texts and found.completed == 1
    found.expect(is_whole or is_told, f"lost in silence: it said {found.said}")


# The store --------------------------------------------------------------------------------------

_PARKED = "SELECT count(*) FROM effects WHERE state = 'parked'"
_GAPS = "SELECT count(*) FROM gaps"


def rows(folder: Path, sql: str, values: tuple[str, ...] = ()) -> list[tuple]:
    """Return what the store in this folder answers, read beside whoever writes it."""
    path = f"{(folder / STORE).as_uri()}?mode=ro"
    with closing(sqlite3.connect(path, uri=True, timeout=5)) as store:
        return store.execute(sql, values).fetchall()


def _count(folder: Path, sql: str) -> int:
    ((count,),) = rows(folder, sql)
    return count


def is_quiet(folder: Path) -> bool:
    """Return whether nothing is open or in doubt."""
    return not rows(
        folder,
        "SELECT 1 FROM effects WHERE state IN ('sending', 'unknown')"
        " UNION ALL SELECT 1 FROM runs WHERE state IN ('running', 'waiting')"
        " UNION ALL SELECT 1 FROM events WHERE handled_at IS NULL",
    )


def is_told(folder: Path) -> bool:
    """Return whether people can see that something may be missing."""
    return bool(_count(folder, _PARKED) or _count(folder, _GAPS))


def left_of(folder: Path, at: Moment, session_id: str) -> Left:
    """Return what the store holds of the exchange in which imbot was killed."""
    target = TARGETS[at.target]
    events = rows(
        folder,
        "SELECT 1 FROM events WHERE session_id = ? AND kind = ?"
        " AND instr(coalesce(session, '') || coalesce(fields, ''), ?)",
        (session_id, target.event, target.heard),
    )
    effects = rows(
        folder,
        "SELECT state, attempt FROM effects"
        " WHERE session_id = ? AND rule_id = ? AND instr(effect_id, ?)",
        (session_id, target.rule, target.effect),
    )
    state, attempt = effects[0] if effects else (None, 0)
    return Left(bool(events), state, attempt)
