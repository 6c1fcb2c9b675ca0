"""Logging: one line per thing, an event name and facts; text on a terminal, JSON elsewhere.

It never raises, and what floods it is counted instead of written. Text from elsewhere stays on its
line, steers no terminal, is not longer than 2,048 characters, and tells of no person.
"""

import json
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from imbot.discretion import Discretion
from imbot.floods import WINDOW_S, Floods
from imbot.harmless import harmless

#: What every line of JSON begins with, in this order.
_FIRST = ("timestamp", "level", "event")

#: A fact is not longer; of a longer one its beginning is told, of a trace its end.
FACT_CHARS = 2048
_MORE = " […]"


def configure_logs(
    level: str,
    style: Literal["auto", "text", "json"],
    stream: TextIO | None = None,
    *,
    discretion: Discretion | None = None,
) -> None:
    """Send every log line of imbot, and warnings of its libraries, to the stream.

    Args:
        level: The least important level that is written.
        style: ``auto`` is text on a terminal and JSON elsewhere.
        stream: Where to; None for standard error.
        discretion: Knows what is not to be told; None where nothing of anybody is.
    """
    out = stream or sys.stderr
    as_text = style == "text" or (style == "auto" and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    discreet = discretion or Discretion()
    # A trace in colours would show the values of variables: passwords, and what people say.
    plain = structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    ending: list[Processor] = (
        [_harmless, _bounded, plain]
        if as_text
        else [_bounded, _first_things_first, structlog.processors.JSONRenderer(default=str)]
    )
    rendering: list[Processor] = [
        structlog.processors.format_exc_info,
        lambda _logger, _method, facts: discreet.facts(facts),
        *ending,
    ]
    handler = _Handler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("imbot").setLevel(number)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines, but not floods of them; what cannot be written is told as well as it can be."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._floods = Floods()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, unless there were too many like it; before it, how many those were."""
        for (level, event), times in self._floods.over(record.created):
            more = {"event": "log.held_back", "of": event, "times": times, "window_s": WINDOW_S}
            super().emit(_like(record, level, more))
        kind = record.levelno, _event_of(record)
        # Who wants it as detailed as that wants all of it.
        if record.levelno < logging.INFO or self._floods.admits(kind, record.created):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Say in plain letters which line could not be written."""
        with suppress(Exception):
            self.stream.write(f'{{"event": "log.failed", "of": {json.dumps(_event_of(record))}}}\n')


def _event_of(record: logging.LogRecord) -> str:
    """Return what a line is about, without its facts."""
    return str(record.msg["event"] if isinstance(record.msg, dict) else record.msg)


def _like(record: logging.LogRecord, level: int, facts: EventDict) -> logging.LogRecord:
    """Return a line with these facts, of the moment of another."""
    stamp = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
    facts = {**facts, "level": logging.getLevelName(level).lower(), "timestamp": stamp}
    line = logging.LogRecord(__name__, level, __file__, 0, facts, (), None)
    line._logger, line._name = None, "msg"  # noqa: SLF001  by which structlog knows its own lines
    return line


def _harmless(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    """Keep every fact on its line; the lines of a trace stay apart, indented."""
    shown = {key: harmless(fact) if isinstance(fact, str) else fact for key, fact in facts.items()}
    if isinstance(trace := facts.get("exception"), str):
        shown["exception"] = "\n".join(f"  {harmless(line)}" for line in trace.splitlines())
    return shown


def _bounded(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    return {
        key: _tail(fact) if key == "exception" else _short(fact, FACT_CHARS)
        for key, fact in facts.items()
    }


def _tail(fact: object) -> object:
    is_long = isinstance(fact, str) and len(fact) > FACT_CHARS
    return f" {_MORE} {str(fact)[-FACT_CHARS:]}" if is_long else fact


def _short(fact: object, room: int) -> object:
    """Return a fact in so many characters, those of its items together."""
    if isinstance(fact, str):
        return fact if len(fact) <= room else f"{fact[:room]}{_MORE}"
    if isinstance(fact, Mapping):
        return dict(_shortened(fact.items(), room))
    if isinstance(fact, list | tuple):
        return [item for _, item in _shortened(enumerate(fact), room)]
    return fact


def _shortened(
    items: Iterable[tuple[object, object]], room: int
) -> Iterator[tuple[object, object]]:
    for key, item in items:
        if room <= 0:
            yield _MORE, _MORE
            return
        shown = _short(item, room)
        room -= len(str(key)) + len(str(shown))
        yield key, shown


def _first_things_first(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    return {**{key: facts[key] for key in _FIRST if key in facts}, **facts}
