"""Our own writes of a session's user data, laid over what GWS shows until it shows them. Pure.

What a notice shows may be from before a write of ours; and when it shows the write, that is no
change by another's hand. Each write has a depth: how many runs led to it. What answers a write at
once, by another's hand, has that depth too: two programs may set each other off in user data.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

from imbot.model import JSON


class _Absent:
    """Stands for a user-data key that is not there."""

    def __repr__(self) -> str:
        return "<absent>"


ABSENT = _Absent()

#: What keys are written to; ABSENT stands for a deletion.
Writes: TypeAlias = Mapping[str, JSON | _Absent]


#: A change by another's hand that follows our write of the same key so soon answers it.
AT_ONCE = timedelta(seconds=2)


@dataclass(slots=True)
class _Pending:
    """Writes to one key that GWS has not shown yet, oldest first, and the depth of the deepest."""

    old: JSON | _Absent
    new: list[JSON | _Absent]
    depth: int = 0


class Shown(NamedTuple):
    """What a notice means.

    Attributes:
        user_data: As it stands now, our newer writes laid over it.
        foreign: What others changed: key → old, new.
        own: What we changed, now shown.
        foreign_depth: How many runs of ours led to what others changed.
        own_depth: How many runs led to what we changed.
    """

    user_data: Mapping[str, JSON]
    foreign: Mapping[str, JSON]
    own: Mapping[str, JSON]
    foreign_depth: int = 0
    own_depth: int = 0


class OwnWrites:
    """The writes to one session's user data that GWS has not shown yet."""

    __slots__ = ("_pending", "_shown")

    def __init__(self) -> None:
        self._pending: dict[str, _Pending] = {}
        #: The depth of the last write of each key that was shown, and when that was.
        self._shown: dict[str, tuple[int, datetime]] = {}

    def expect(
        self, user_data: Mapping[str, JSON], writes: Writes, *, depth: int = 0
    ) -> dict[str, JSON]:
        """Return the user data with these writes over it; to be called before they are sent.

        Args:
            user_data: As it stands.
            writes: What is to be written.
            depth: How many runs led to that.
        """
        data = dict(user_data)
        for name, new in writes.items():
            known = _Pending(data.get(name, ABSENT), [])
            pending = self._pending.setdefault(name, known)
            pending.new.append(new)
            pending.depth = max(pending.depth, depth)
            _put(data, name, new)
        return data

    def withdraw(self, user_data: Mapping[str, JSON], writes: Writes) -> dict[str, JSON]:
        """Return the user data without these writes: they surely did not happen."""
        data = dict(user_data)
        for name, new in writes.items():
            pending = self._pending.get(name)
            if pending is None or new not in pending.new:
                continue
            pending.new.remove(new)
            _put(data, name, pending.new[-1] if pending.new else pending.old)
            if not pending.new:
                del self._pending[name]
        return data

    def compare(
        self,
        known: Mapping[str, JSON],
        shown: Mapping[str, JSON],
        now: datetime,
        *,
        whole: bool,
    ) -> Shown:
        """Return what GWS shows that was not known.

        A key with a write under way counts as unchanged while GWS still shows its old value.

        Args:
            known: The user data as it stood, our writes included.
            shown: What GWS shows.
            now: When it does.
            whole: Whether it shows all keys; else one that it leaves out may be there.
        """
        foreign: dict[str, JSON] = {}
        own: dict[str, JSON] = {}
        foreign_depth = own_depth = 0
        for name in sorted(self._names(known, shown, whole=whole)):
            new = shown.get(name, ABSENT)
            pending = self._pending.get(name)
            if pending is None:
                if (old := known.get(name, ABSENT)) != new:
                    foreign[name] = _change(old, new)
                    foreign_depth = max(foreign_depth, self._answered(name, now))
            elif new in pending.new:
                if pending.old != new:
                    own[name] = _change(pending.old, new)
                    own_depth = max(own_depth, pending.depth)
                self._have_shown(name, new, now)
            elif new != pending.old:
                del self._pending[name]
                foreign[name] = _change(pending.old, new)
                # Perhaps it is our own write, spelt by the server in another way.
                foreign_depth = max(foreign_depth, pending.depth)
        user_data = self._overlaid(known, foreign, own)
        return Shown(user_data, foreign, own, foreign_depth, own_depth)

    def clear(self) -> None:
        """Expect nothing any more: the session is over."""
        self._pending.clear()
        self._shown.clear()

    def _names(
        self, known: Mapping[str, JSON], shown: Mapping[str, JSON], *, whole: bool
    ) -> Iterable[str]:
        return {*shown, *known, *self._pending} if whole else shown

    def _answered(self, name: str, now: datetime) -> int:
        """Return the depth of the write that a change by another's hand answers; 0 for none."""
        depth, at = self._shown.get(name, (0, now))
        return depth if now - at < AT_ONCE else 0

    def _have_shown(self, name: str, new: JSON | _Absent, now: datetime) -> None:
        """Note that GWS has shown one of our writes, and so all before it."""
        pending = self._pending[name]
        self._shown[name] = pending.depth, now
        pending.old = new
        del pending.new[: pending.new.index(new) + 1]
        if not pending.new:
            del self._pending[name]

    def _overlaid(
        self, known: Mapping[str, JSON], *changed: Mapping[str, JSON]
    ) -> Mapping[str, JSON]:
        """Return the user data with these changes made, our newer writes laid over them."""
        if not any(changed):
            return known
        data = dict(known)
        for changes in changed:
            for name, change in changes.items():
                pending = self._pending.get(name)
                _put(data, name, pending.new[-1] if pending else change.get("new", ABSENT))
        return data


def _put(data: dict[str, JSON], name: str, value: JSON | _Absent) -> None:
    if value is ABSENT:
        data.pop(name, None)
    else:
        data[name] = value


def _change(old: JSON | _Absent, new: JSON | _Absent) -> dict[str, JSON]:
    change: dict[str, JSON] = {}
    if old is not ABSENT:
        change["old"] = old
    if new is not ABSENT:
        change["new"] = new
    return change
