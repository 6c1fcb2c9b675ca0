"""How commands print what they found; apart, because every start of the command line reads it."""

from enum import StrEnum
from typing import Literal, TypeAlias

#: What is found in files is written as: for people, for programs, or for a change on GitHub.
Shape: TypeAlias = Literal["text", "json", "github"]


class Format(StrEnum):
    """For people, or as JSON lines for programs."""

    TEXT = "text"
    JSON = "json"
