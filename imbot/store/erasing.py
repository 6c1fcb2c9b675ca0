"""Erases what a store keeps of a phone number or a session, down to the bytes of its file.

What is over goes. What forbids to do a thing again stays, without the person: the session that is
over, and once marks, whose scope becomes a keyed hash of itself. What is not over is left as it is
and told: erased, it would be done twice or never.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import phonenumbers
import sqlalchemy as sa

from imbot.errors import StoreError
from imbot.model import JSON, SessionKey
from imbot.store import rows
from imbot.store.connection import Database
from imbot.store.lock import StoreLock
from imbot.store.migrations import require_current
from imbot.store.schema import (
    EFFECT_IS_PARKED,
    EFFECT_IS_UNSETTLED,
    EVENT_IS_UNDECIDED,
    ORDER_IS_WAITING,
    RUN_IS_OPEN,
    SESSION_IS_OPEN,
    audit,
    effects,
    events,
    gaps,
    once_marks,
    orders,
    quarantine,
    runs,
    sessions,
    timers,
)
from imbot.store.sums import is_as_written, resummed, sums_of

#: What stands where something was.
ERASED = "[erased]"

#: Echoes and late notices of a session that is over may come so long.
SETTLED = timedelta(minutes=10)

#: Shorter numbers stand for anything in a text; they are looked for among participants only.
_SHORTEST = 7

#: What may stand between the digits of a number.
_BETWEEN = r"[ ()/.\-\u00a0\u202f]*"

#: Tables whose texts may mention a number, and which of their rows are not over.
_TEXTS: Sequence[tuple[sa.Table, sa.ColumnElement[bool]]] = (
    (events, EVENT_IS_UNDECIDED | sa.exists().where(runs.c.event_id == events.c.id, RUN_IS_OPEN)),
    (runs, RUN_IS_OPEN),
    (
        effects,
        EFFECT_IS_UNSETTLED
        | EFFECT_IS_PARKED
        | sa.exists().where(runs.c.run_id == effects.c.run_id, RUN_IS_OPEN)
        # Its echo may still come, and must be known for ours.
        | (
            effects.c.echo.is_not(None)
            & effects.c.echo_at.is_(None)
            & sa.exists().where(
                sessions.c.agent == effects.c.agent,
                sessions.c.session_id == effects.c.session_id,
                SESSION_IS_OPEN,
            )
        ),
    ),
    (sessions, SESSION_IS_OPEN),
    (timers, sa.true()),
    (gaps, sa.false()),
    (orders, ORDER_IS_WAITING),
    (quarantine, sa.false()),
    (audit, sa.false()),
)


class Number:
    """A phone number, however it is written.

    Args:
        text: As somebody writes it.
        country: Country of numbers without a country code.

    Raises:
        ValueError: It is no number.
    """

    def __init__(self, text: str, country: str) -> None:
        digits = re.sub(r"\D", "", text)
        if not digits or re.fullmatch(r"[\d\s()+/.\-]+", text) is None:
            raise ValueError(f"{text!r:.40} is no phone number; write one such as +49 151 23456789")
        self.text = text.strip()
        self.is_short = len(digits) < _SHORTEST
        self._spelled = re.compile(rf"(?<![0-9]){_spellings(text, digits, country)}(?![0-9])")

    def is_meant(self, written: str) -> bool:
        """Return whether a text is this number and nothing else."""
        return self._spelled.fullmatch(written.strip()) is not None

    def is_in(self, text: str) -> bool:
        """Return whether a text mentions the number."""
        return not self.is_short and self._spelled.search(text) is not None

    def without(self, value: JSON) -> JSON:
        """Return a plain value that does not mention the number any more."""
        if isinstance(value, str):
            return self._spelled.sub(ERASED, value)
        if isinstance(value, int) and not isinstance(value, bool):
            return ERASED if self.is_in(str(value)) else value
        if isinstance(value, Mapping):
            return {self.without(name): self.without(item) for name, item in value.items()}
        return [self.without(item) for item in value] if isinstance(value, list | tuple) else value


def _spellings(text: str, digits: str, country: str) -> str:
    """Return the pattern of a number: with its country, with a 0 before it, or as it is."""
    try:
        parsed = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return _apart(digits)
    if not phonenumbers.is_possible_number(parsed):
        return _apart(digits)
    own = phonenumbers.national_significant_number(parsed)
    code = _apart(str(parsed.country_code))
    zero = rf"(?:\(?0\)?{_BETWEEN})?"
    outside = rf"(?:(?:\+|00){_BETWEEN})?{code}{_BETWEEN}{zero}"
    return rf"(?:{outside}|\(?0{_BETWEEN})?{_apart(own)}"


def _apart(digits: str) -> str:
    return _BETWEEN.join(digits)


class Whom(NamedTuple):
    """Whose rows are erased: a number's, or a session's."""

    number: Number | None = None
    session_id: str = ""


class Found(NamedTuple):
    """What a store keeps of somebody.

    Attributes:
        sessions: Those that are over.
        mentions: Rows elsewhere that mention the number, by table.
        marks: Once marks that name it.
        kept: What is not over, and why it stays.
    """

    sessions: tuple[SessionKey, ...]
    mentions: Mapping[str, int]
    marks: int
    kept: tuple[str, ...]

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is there to be erased."""
        return not self.sessions and not self.mentions and not self.marks


class Eraser:
    """Erases in a store that no imbot works on; a context manager that closes it.

    Args:
        path: The store's file.
        now: The moment.

    Raises:
        StoreError: There is none, an imbot works on it, or it is older or newer than this imbot.
    """

    def __init__(self, path: Path, now: datetime) -> None:
        self._path = path.resolve()
        self._now = now
        self._lock = StoreLock(self._path)
        try:
            self._database = Database(str(self._path))
            try:
                require_current(self._database)
            except BaseException:
                self._database.close()
                raise
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        """Return the eraser."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the store, and let others open it."""
        self._database.close()
        self._lock.release()

    # Looking ----------------------------------------------------------------------------------

    def find(self, whom: Whom) -> Found:
        """Return what is there of somebody; nothing is changed.

        Raises:
            StoreError: The database refused.
        """
        with self._database.explaining():
            over, kept = [], []
            for key in self._sessions_of(whom):
                if why := self._why_kept(key):
                    kept.append(f"session {key.session_id} of {key.agent}: {why}")
                else:
                    over.append(key)
            mentions: dict[str, int] = {}
            for table, _, is_open in self._mentions(whom.number, over):
                if is_open:
                    kept.append(f"a row of {table.name} mentions the number and is not over")
                else:
                    mentions[table.name] = mentions.get(table.name, 0) + 1
            marks = sum(1 for _ in self._marks(whom.number))
        return Found(tuple(over), mentions, marks, tuple(dict.fromkeys(kept)))

    def _sessions_of(self, whom: Whom) -> Iterable[SessionKey]:
        """Return the sessions that are meant, by what their rows and their events show."""
        found: dict[SessionKey, None] = {}
        for table in (sessions, events):
            statement = sa.select(table.c.agent, table.c.session_id, table.c.session)
            if whom.number is None:
                statement = statement.where(table.c.session_id == whom.session_id)
            for agent, session_id, shown in self._database.connection.execute(statement):
                if session_id and (whom.number is None or _is_with(shown, whom.number)):
                    found[SessionKey(agent, session_id)] = None
        return found

    def _why_kept(self, key: SessionKey) -> str:
        """Return why a session is not erased; empty when it is."""
        connection = self._database.connection
        shown = connection.execute(
            sa.select(sessions.c.completed_at).where(*_of(sessions, key))
        ).first()
        if shown is not None and shown[0] is None:
            return "it is not over"
        if shown is not None and shown[0] > self._now - SETTLED:
            return "it has only just ended; late echoes may come for 10 minutes"
        here = sa.select(events.c.id).where(*_of(events, key))
        run_ids = sa.select(runs.c.run_id).where(runs.c.event_id.in_(here))
        in_run = effects.c.run_id.in_(run_ids) | sa.and_(*_of(effects, key))
        effect_ids = sa.select(effects.c.effect_id).where(in_run)
        is_open: Sequence[tuple[str, sa.Select[Any]]] = (
            ("an event of it is not decided yet", here.where(EVENT_IS_UNDECIDED)),
            (
                "a rule goes on in it",
                sa.select(runs.c.run_id).where(
                    RUN_IS_OPEN, runs.c.event_id.in_(here) | sa.and_(*_of(runs, key))
                ),
            ),
            (
                "something in it is parked or unknown; see `imbot parked`",
                effect_ids.where(EFFECT_IS_UNSETTLED | EFFECT_IS_PARKED),
            ),
            (
                "an order about it waits",
                sa.select(orders.c.seq).where(ORDER_IS_WAITING, orders.c.effect_id.in_(effect_ids)),
            ),
        )
        for why, statement in is_open:
            if connection.execute(statement.limit(1)).first() is not None:
                return why
        return ""

    def _mentions(
        self, number: Number | None, over: Iterable[SessionKey]
    ) -> Iterator[tuple[sa.Table, int, bool]]:
        """Yield rows that mention a number, but for those of sessions that are erased anyway."""
        if number is None or number.is_short:
            return
        erased = set(over)
        for table, is_open in _TEXTS:
            texts = _text_columns(table)
            of_session = [table.c[n] for n in ("agent", "session_id") if n in table.c]
            raw = [sa.type_coerce(column, sa.Text) for column in texts]
            statement = sa.select(
                sa.literal_column(f"{table.name}.rowid"), sa.case((is_open, 1), else_=0), *raw
            ).add_columns(*of_session)
            for rowid, is_kept, *values in self._database.connection.execute(statement):
                texts_of, key = values[: len(raw)], values[len(raw) :]
                if len(key) == 2 and SessionKey(*key) in erased:  # noqa: PLR2004  agent, session
                    continue
                if any(each is not None and number.is_in(str(each)) for each in texts_of):
                    yield table, rowid, bool(is_kept)

    def _marks(self, number: Number | None) -> Iterator[tuple[int, str]]:
        statement = sa.select(sa.literal_column("rowid"), once_marks.c.scope)
        for rowid, scope in self._database.connection.execute(statement):
            words = scope.split(" ")
            is_whole = number is not None and any(map(number.is_meant, words[1:]))
            if number is not None and (is_whole or number.is_in(scope)):
                yield rowid, scope

    # Erasing ----------------------------------------------------------------------------------

    def erase(self, whom: Whom) -> Found:
        """Erase what :meth:`find` finds, and what it leaves behind in the file; return that.

        Raises:
            StoreError: The database refused, or a row is not as it was written: nothing is erased.
        """
        key = self._database.pseudonym_key()
        with self._database.explaining():
            self._pragma("secure_delete = ON")
            self._pragma("temp_store = MEMORY")
        with self._database.transaction():
            found = self.find(whom)
            for session in found.sessions:
                self._erase_session(session)
            if whom.number is not None:
                for table, rowid, is_open in [*self._mentions(whom.number, ())]:
                    if not is_open:
                        self._rewrite(table, rowid, whom.number.without)
                hidden = [*self._marks(whom.number)]
                if hidden:
                    self._database.note_erased()
                for rowid, scope in hidden:
                    self._change(once_marks, rowid, {"scope": rows.hidden_scope(scope, key)})
        with self._database.explaining():
            self._pragma("wal_checkpoint(TRUNCATE)")
            self._database.has("VACUUM")
            self._pragma("wal_checkpoint(TRUNCATE)")
        return found

    def _pragma(self, what: str) -> None:
        self._database.has(f"PRAGMA {what}")

    def _erase_session(self, key: SessionKey) -> None:
        execute = self._database.connection.execute
        here = sa.select(events.c.id).where(*_of(events, key))
        run_ids = sa.select(runs.c.run_id).where(runs.c.event_id.in_(here))
        of_it = effects.c.run_id.in_(run_ids) | sa.and_(*_of(effects, key))
        effect_ids = sa.select(effects.c.effect_id).where(of_it)
        execute(sa.delete(orders).where(orders.c.effect_id.in_(effect_ids)))
        execute(sa.delete(effects).where(of_it))
        execute(sa.delete(runs).where(runs.c.event_id.in_(here)))
        rowids: Sequence[int] = (
            execute(sa.select(sa.literal_column("runs.rowid", sa.Integer)).where(*_of(runs, key)))
            .scalars()
            .all()
        )
        for rowid in rowids:
            self._change(runs, rowid, {"bound": {}, "detail": ERASED})
        execute(sa.delete(timers).where(*_of(timers, key)))
        mentioned = quarantine.c.key.contains(key.session_id, autoescape=True)
        execute(
            sa.delete(quarantine).where(
                mentioned | quarantine.c.row.contains(key.session_id, autoescape=True)
            )
        )
        self._erase_in_audit(key.session_id)
        # The newest number says where new event ids go on from.
        newest = sa.select(sa.func.max(events.c.number)).scalar_subquery()
        execute(sa.delete(events).where(*_of(events, key), events.c.number < newest))
        for rowid, shown in execute(
            sa.select(sa.literal_column("events.rowid"), events.c.session).where(*_of(events, key))
        ).all():
            blank = None if shown is None else _blank(shown)
            self._change(events, rowid, {"session": blank, "fields": {}, "suppressed": []})
        for rowid, shown in execute(
            sa.select(sa.literal_column("sessions.rowid"), sessions.c.session).where(
                *_of(sessions, key)
            )
        ).all():
            self._change(sessions, rowid, {"session": _blank(shown)})

    def _erase_in_audit(self, session_id: str) -> None:
        named = audit.c.request.contains(session_id, autoescape=True)
        asked = sa.select(sa.literal_column("audit.rowid", sa.Integer), audit.c.request)
        for rowid, request in self._database.connection.execute(asked.where(named)).all():
            self._change(audit, rowid, {"request": request.replace(session_id, ERASED)})

    def _rewrite(self, table: sa.Table, rowid: int, without: Callable[[JSON], JSON]) -> None:
        columns = _text_columns(table)
        where = sa.literal_column(f"{table.name}.rowid") == rowid
        row = self._database.connection.execute(sa.select(*columns).where(where)).one()
        values = dict(zip([column.name for column in columns], row, strict=True))
        self._change(table, rowid, {name: without(value) for name, value in values.items()})

    def _change(self, table: sa.Table, rowid: int, values: Mapping[str, JSON]) -> None:
        """Write columns of a row, and its sums; one that is damaged must not become sound by it."""
        where = sa.literal_column(f"{table.name}.rowid") == rowid
        is_sound = is_as_written(table) if sums_of(table) else sa.true()
        connection = self._database.connection
        if not connection.execute(sa.update(table).where(where, is_sound).values(values)).rowcount:
            raise StoreError(
                f"store {self._path}: a row of {table.name} is not as it was written; start imbot, "
                "which puts it into quarantine, stop it and erase again"
            )
        if sums_of(table):
            connection.exec_driver_sql(f"{resummed(table)} WHERE rowid = {int(rowid)}")


def _is_with(shown: JSON, number: Number) -> bool:
    """Return whether a session, as it is kept, is one with this number."""
    if shown is None:
        return False
    parties = rows.session_from_plain(shown).participants
    return any(number.is_meant(text) for party in parties for text in party.facts().values())


def _blank(shown: Mapping[str, Any]) -> JSON:
    """Return a session, as it is kept, without persons."""
    session = rows.session_from_plain(shown)
    return rows.session_to_plain(replace(session, user_data={}, participants=()))


def _of(table: sa.Table, key: SessionKey) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.agent == key.agent, table.c.session_id == key.session_id


def _text_columns(table: sa.Table) -> list[sa.Column[Any]]:
    """Return the columns that hold what people and services say."""
    said = {"payload", "echo", "result", "detail", "before", "bound", "strands", "cancelled", "key"}
    said |= {"session", "fields", "suppressed", "reason", "refused", "row", "request"}
    return [column for column in table.c if column.name in said]
