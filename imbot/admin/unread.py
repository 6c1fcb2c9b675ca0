"""What becomes of requests that are no HTTP: a line of the log that quotes none of them.

aiohttp's own line quotes where it stopped to understand, which may be the head with a token.
"""

import logging

import structlog

log = structlog.get_logger()


class Unread(logging.Logger):
    """Takes aiohttp's lines, and tells of what kind a mistake was, and nothing else."""

    def __init__(self) -> None:
        super().__init__("imbot.admin.unread", logging.ERROR)

    def handle(self, record: logging.LogRecord) -> None:
        """Tell that a request could not be read, or answered."""
        kind = record.exc_info[0] if record.exc_info else None
        log.warning("admin.unread", cause="unknown" if kind is None else kind.__name__)
