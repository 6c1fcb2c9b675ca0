"""``imbot trace``: a session of the store as a test of the rules."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from imbot.cli.books import Books, open_books
from imbot.cli.output import complain
from imbot.cli.recording import setting_of
from imbot.cli.settings import load
from imbot.engine.history import situation_of
from imbot.loading import rule_paths
from imbot.logs import configure_logs
from imbot.model import SessionKey
from imbot.plugin import Operation
from imbot.store.queries import Views, open_views
from imbot.store.views import EffectView, EventView, SessionHistory
from imbot.testing.playing import Effect, Played, play
from imbot.testing.replaying import scene_of
from imbot.testing.tracing import answers_of, file_of

#: Requests of this action are effects, too, unless they only ask.
_HTTP = "http"


def trace(session_id: str, config: Path | None, *, agent: str | None) -> int:
    """Write a session of the store as a test file; with what led to it, where the bot began it.

    Return 1 when there is no such session, or when the rules would do something else now than was
    done then; the test says what they do now.
    """
    books, loaded = open_books(config), load(config)
    with open_views(loaded.settings.store, base=loaded.base) as views:
        found = views.session(session_id, agent=agent)
        if not found:
            complain(f"there is no session {session_id}; `imbot sessions` lists them")
            return 1
        origin = _origin_of(views, found[0])
        histories = (*_before(views, origin), found[0])
        seen = sorted(_events(histories, origin), key=lambda each: each.event.received_at)
        situations = [situation_of(views, each) for each in seen]
    setting = setting_of(books, books.read(live=True))
    effects = _effects(histories, with_shadow=loaded.settings.shadow)
    test = scene_of(
        situations,
        path=f"session {session_id}",
        answers=answers_of([view.effect for view in effects]),
        until=_end_of(histories, effects),
    )
    configure_logs("critical", "text")
    played = play(test, setting)
    text = file_of(
        test,
        played.effects,
        rules=[str(path) for path in rule_paths(loaded)],
        nickname=setting.nickname,
        secrets=setting.secrets,
    )
    print(text, end="")
    return _tell_changes(books, effects, played)


# What happened --------------------------------------------------------------------------------


def _origin_of(views: Views, history: SessionHistory) -> EventView | None:
    """Return the event for which the bot began a session; None when somebody else began it."""
    seen = history.view.seen
    return views.origin(SessionKey(seen.agent, seen.session.id)) if seen.mine else None


def _before(views: Views, origin: EventView | None) -> tuple[SessionHistory, ...]:
    """Return the session in which a session was begun."""
    key = None if origin is None else origin.event.session_key
    return () if key is None else views.session(key.session_id, agent=key.agent)


def _events(histories: Sequence[SessionHistory], origin: EventView | None) -> Iterator[EventView]:
    if origin is not None and len(histories) == 1:
        yield origin
    for history in histories:
        yield from history.events


def _effects(histories: Sequence[SessionHistory], *, with_shadow: bool) -> list[EffectView]:
    """Return the effects in the order in which they were begun, each once.

    Those in shadow count where the settings put all rules in shadow, but for what would be read.
    """
    views = {view.effect.intent.effect_id: view for each in histories for view in each.effects}
    done = [view for view in views.values() if with_shadow or not view.effect.intent.in_shadow]
    done = [view for view in done if not view.effect.intent.operation.startswith(("GET ", "HEAD "))]
    return sorted(done, key=lambda view: view.effect.intent.at)


def _end_of(histories: Sequence[SessionHistory], effects: Sequence[EffectView]) -> datetime:
    """Return right after the last thing happened that the store knows of."""
    moments = [history.view.seen.seen_at for history in histories]
    moments += (seen.event.received_at for history in histories for seen in history.events)
    moments += (view.effect.intent.at for view in effects)
    return max(moments) + timedelta(milliseconds=1)


# What the rules would do now ------------------------------------------------------------------


def _tell_changes(books: Books, effects: Sequence[EffectView], played: Played) -> int:
    """Say what the rules would not do as they did; return 1 if there is such a thing."""
    then, now = _done(books, effects), _would_do(books, played.effects)
    for session in {**then, **now}:
        if then[session] != now[session]:
            where = f"in session {session} " if session else ""
            did, would = (", ".join(done[session]) or "nothing" for done in (then, now))
            complain(f"{where}the rules did {did} then, and would do {would} now")
    return 0 if then == now else 1


def _done(books: Books, effects: Sequence[EffectView]) -> Mapping[str, list[str]]:
    """Return the actions of the steps that had effects, by session."""
    steps = {view.effect.intent.effect_id.rpartition("/")[0]: view for view in effects}
    done: dict[str, list[str]] = defaultdict(list)
    for view in steps.values():
        intent = view.effect.intent
        if books.needs(intent.action) is not None or intent.action == _HTTP:
            done[intent.session_id].append(intent.action)
    return done


def _would_do(books: Books, effects: Sequence[Effect]) -> Mapping[str, list[str]]:
    """Return the actions that the ledger would show, by session; a new one is nobody's yet."""
    done: dict[str, list[str]] = defaultdict(list)
    for effect in effects:
        needed = books.needs(effect.action)
        asks = isinstance(effect.args, Mapping) and "get" in effect.args
        if needed is None and (effect.action != _HTTP or asks):
            continue
        done["" if needed is Operation.INITIATE else effect.session].append(effect.action)
    return done
