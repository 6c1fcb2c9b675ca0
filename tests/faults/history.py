"""What happened in a schedule, in order, and its fingerprint."""

import hashlib
from collections import Counter
from typing import NamedTuple


class Happening(NamedTuple):
    """One thing that happened.

    Attributes:
        at_s: The virtual second.
        kind: What.
        agent: Whom it concerned; empty for nobody in particular.
        session_id: Which session; empty for none.
        text: What was said, asked or told.
    """

    at_s: float
    kind: str
    agent: str = ""
    session_id: str = ""
    text: str = ""

    def __str__(self) -> str:
        """Return it as a line of a trace."""
        return (
            f"{self.at_s:10.4f}  {self.kind:<24} {self.agent:<5} {self.session_id:<7} {self.text}"
        )


class History:
    """Everything that happened, oldest first."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.counts: Counter[str] = Counter()

    def add(
        self, at_s: float, kind: str, agent: str = "", session_id: str = "", text: str = ""
    ) -> None:
        """Add what happens now."""
        self.happenings.append(Happening(at_s, kind, agent, session_id, text))
        self.counts[kind] += 1

    def named(self, *kinds: str) -> list[Happening]:
        """Return what happened of these kinds."""
        return [one for one in self.happenings if one.kind in kinds]

    def fingerprint(self) -> str:
        """Return what no other history has: the same seed must give the same one."""
        made = hashlib.blake2b(digest_size=12)
        for one in self.happenings:
            made.update(repr(tuple(one)).encode())
        return made.hexdigest()
