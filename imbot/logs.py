"""Logging: one line per thing, an event name and facts; text on a terminal, JSON elsewhere.

It never raises, and what floods it is counted instead of written.
"""

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from imbot.floods import WINDOW_S, Floods

#: What every line of JSON begins with, in this order.
_FIRST = ("timestamp", "level", "event")


def configure_logs(
    level: str, style: Literal["auto", "text", "json"], stream: TextIO | None = None
) -> None:
    """Send every log line of imbot, and warnings of its libraries, to the stream.

    Args:
        level: The least important level that is written.
        style: ``auto`` is text on a terminal and JSON elsewhere.
        stream: Where to; None for standard error.
    """
    out = stream or sys.stderr
    as_text = style == "text" or (style == "auto" and out.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = (
        [_harmless, structlog.dev.ConsoleRenderer(colors=out.isatty())]
        if as_text
        else [
            structlog.processors.format_exc_info,
            _first_things_first,
            structlog.processors.JSONRenderer(default=str),
        ]
    )
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


def harmless(text: str) -> str:
    """Return text from anywhere as it can be shown: on one line, and unable to steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _harmless(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    return {key: harmless(fact) if isinstance(fact, str) else fact for key, fact in facts.items()}


def _first_things_first(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    return {**{key: facts[key] for key in _FIRST if key in facts}, **facts}
