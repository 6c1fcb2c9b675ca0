"""How commands print what they found; apart, because every start of the command line reads it."""

from enum import StrEnum


class Format(StrEnum):
    """For people, or as JSON lines for programs."""

    TEXT = "text"
    JSON = "json"
