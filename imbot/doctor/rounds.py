"""Carries out checks in order: one that needs what failed is skipped, and none ever raises."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from imbot.doctor.findings import NEEDS, Check, Finding, Grade, Result, worst

#: Looks at one thing.
Look: TypeAlias = Callable[[], Awaitable[Finding | Sequence[Finding]]]
#: Takes a result as soon as it is there.
Tell: TypeAlias = Callable[[Result], None]

#: No check takes longer.
LIMIT_S = 120.0

_STOPS = frozenset({Grade.FAILED, Grade.SKIPPED})


class Round:
    """A round of checks about one thing.

    Args:
        tell: Takes each result.
        about: Whose checks they are; empty for the machine's and the deployment's.
        stopped: What cannot be built upon, from a round before this one.

    Attributes:
        stopped: What cannot be built upon, and the check at the root of that.
    """

    def __init__(
        self, tell: Tell, *, about: str = "", stopped: Mapping[Check, Check] = MappingProxyType({})
    ) -> None:
        self._tell = tell
        self._about = about
        self.stopped: dict[Check, Check] = dict(stopped)

    async def look(self, check: Check, look: Look) -> None:
        """Carry out one check and tell what it found, whatever happens."""
        roots = [self.stopped[need] for need in NEEDS.get(check, ()) if need in self.stopped]
        if roots:
            self.stopped[check] = roots[0]
            skipped = Finding.skipped(f"it rests on {roots[0]}", f"see to {roots[0]} first")
            found: Sequence[Finding] = [skipped]
        else:
            found = await _looked(look)
        if not roots and worst(found) in _STOPS:
            self.stopped[check] = check
        for finding in found:
            self._tell(Result(check, finding, self._about))

    def may(self, check: Check) -> bool:
        """Return whether nothing that this check needs has failed."""
        return not any(need in self.stopped for need in NEEDS.get(check, ()))


async def _looked(look: Look) -> Sequence[Finding]:
    limit = asyncio.timeout(LIMIT_S)
    try:
        async with limit:
            found = await look()
    except Exception as error:  # noqa: BLE001  whatever is wrong is for the doctor to say
        if limit.expired():
            cure = "find out what keeps it waiting, such as a disk or a network that hangs"
            return [Finding.failed(f"it took more than {LIMIT_S:g} s", cure)]
        cure = "report this, for the doctor did not expect it"
        return [Finding.failed(f"{type(error).__name__}: {error}", cure)]
    return [found] if isinstance(found, Finding) else found
