"""``imbot record`` and ``replay``: what happened, for another day."""

import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from imbot.admin.telling import arguments
from imbot.cli.books import Books, open_books
from imbot.cli.formats import Format
from imbot.cli.output import complain, one_line, painted
from imbot.cli.settings import load
from imbot.durations import parse_duration
from imbot.engine.acting import Habits
from imbot.engine.history import situation_of
from imbot.engine.recording import read_situations, to_line
from imbot.engine.redaction import Redaction, asked_for
from imbot.engine.situation import Situation
from imbot.errors import ImbotError
from imbot.loading import rule_secrets
from imbot.logs import configure_logs
from imbot.model import JSON
from imbot.rulebook.schema import Rulebook
from imbot.store.queries import open_views
from imbot.testing.playing import Effect, Played, Setting, play
from imbot.testing.replaying import Change, difference, scene_of, stand_ins, without_acting

_KEY_BYTES = 32


# record ---------------------------------------------------------------------------------------


def record(
    config: Path | None,
    *,
    since: str | None,
    until: str | None,
    session_id: str | None,
    redaction: bool,
    with_texts: bool,
    key: str | None,
) -> int:
    """Write the events of the store as JSON lines."""
    books = open_books(config)
    loaded = load(config)
    zone, now = ZoneInfo(loaded.settings.timezone), datetime.now(UTC)
    redacted = None
    if redaction:
        secret = secrets.token_bytes(_KEY_BYTES) if key is None else key.encode()
        redacted = Redaction(secret, asked_for(books.read().rules), with_texts=with_texts)
    with open_views(loaded.settings.store, base=loaded.base) as views:
        for seen in views.events(
            since=moment(since, now, zone), until=moment(until, now, zone), session_id=session_id
        ):
            situation = situation_of(views, seen)
            print(to_line(situation if redacted is None else redacted.of(situation)))
    return 0


def moment(text: str | None, now: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the moment that an option means: a date with or without a time, or so long ago.

    Raises:
        ImbotError: It means none.
    """
    if text is None:
        return None
    try:
        if re.fullmatch("[0-9.]+[a-z].*", text):
            return now - timedelta(seconds=parse_duration(text))
        at = datetime.fromisoformat(text)
    except ValueError as error:
        cure = "write one such as 2026-03-02, 2026-03-02T09:00 or 2h"
        raise ImbotError(f"'{one_line(text)}' is no moment; {cure}") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


# replay ---------------------------------------------------------------------------------------


def replay(
    path: Path, config: Path | None, *, old: Sequence[Path], new: Sequence[Path], form: Format
) -> int:
    """Play recorded events through two rulebooks; return 1 when their effects differ.

    With one rulebook, that of the settings without any, its effects are printed.

    Raises:
        RulebookError: The recording or the rules, with every mistake.
        ImbotError: The recording cannot be read.
    """
    books = open_books(config)
    situations = read_situations(str(path), _text(path), now=datetime.now(UTC))
    if not old and not new:
        played = _replayed(books, books.read(live=True), path, situations)
        _print_effects((Change(" ", effect) for effect in played.effects), situations, form)
        return 0
    before = _replayed(books, books.read(old, live=True), path, situations)
    after = _replayed(books, books.read(new, live=True), path, situations)
    changes = difference(before, after)
    _print_effects(changes, situations, form)
    return 1 if changes else 0


def _replayed(books: Books, book: Rulebook, path: Path, situations: Sequence[Situation]) -> Played:
    configure_logs("critical", "text")  # what an engine warns of happened long ago
    played = play(scene_of(situations, path=str(path)), setting_of(books, book))
    for trouble in played.troubles:
        complain(f"{trouble.place}: {trouble.text}")
    return played


def setting_of(books: Books, book: Rulebook) -> Setting:
    """Return what stands around the rules in a replay: the settings, and nobody to act upon."""
    around, settings = books.around(book), books.settings
    names = {} if settings is None else rule_secrets(settings, os.environ)
    return Setting(
        books={(): book},
        usable=without_acting(books.plugins),
        nickname=around.bot.nickname,
        secrets=stand_ins(names),
        timezone=around.timezone,
        country=around.country,
        habits=Habits(strict_capabilities=books.strict_capabilities),
        agents=() if settings is None else tuple(agent.user for agent in settings.agents),
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise ImbotError(f"{path}: it cannot be read: {error.strerror}") from error


def _print_effects(
    changes: Iterator[Change] | Sequence[Change], situations: Sequence[Situation], form: Format
) -> None:
    start = situations[0].event.received_at if situations else datetime.now(UTC)
    for sign, effect in changes:
        at = start + timedelta(milliseconds=effect.at_ms)
        if form is Format.JSON:
            print(json.dumps(_plain(sign, effect, at), default=str))
        else:
            print(painted(one_line(_told(sign, effect, at)), _COLOURS[sign]))


_COLOURS = {"-": "red", "+": "green", " ": ""}


def _told(sign: str, effect: Effect, at: datetime) -> str:
    where = f"{effect.agent}/{effect.session}" if effect.session else effect.agent or "nowhere"
    failure = f" fails: {effect.failure}" if effect.failure else ""
    when = f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
    did = f"{effect.action} {arguments(effect.args)}".strip()
    return f"{sign} {when} {where} {did}{failure} ({effect.rule_id}, {effect.place})"


def _plain(sign: str, effect: Effect, at: datetime) -> dict[str, JSON]:
    return {
        "change": {"-": "gone", "+": "new", " ": "same"}[sign],
        "at": at.isoformat(),
        "agent": effect.agent,
        "session": effect.session,
        "action": effect.action,
        "args": effect.args,
        "failure": effect.failure,
        "rule": effect.rule_id,
        "place": effect.place,
    }
