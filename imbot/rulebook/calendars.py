"""Business hours."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Calendar:
    """When somebody is there."""

    name: str

    def is_open(self, at: datetime) -> bool:
        """Whether it is open at that moment."""
        raise NotImplementedError

    def next_open(self, at: datetime) -> datetime | None:
        """Return the next opening."""
        raise NotImplementedError

    def next_close(self, at: datetime) -> datetime | None:
        """Return the next closing."""
        raise NotImplementedError
