"""Logging: one line per thing, an event name and facts; text on a terminal, JSON elsewhere."""

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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
    handler = logging.StreamHandler(out)
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


def harmless(text: str) -> str:
    """Return text from anywhere as it can be shown: on one line, and unable to steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _harmless(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    return {key: harmless(fact) if isinstance(fact, str) else fact for key, fact in facts.items()}


def _first_things_first(_logger: WrappedLogger, _method: str, facts: EventDict) -> EventDict:
    return {**{key: facts[key] for key in _FIRST if key in facts}, **facts}
