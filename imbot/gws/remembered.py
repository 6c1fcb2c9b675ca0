"""Names seen lately: as many as are worth remembering, and next to no memory while there are none.

An agent keeps several of these, and a daemon a thousand agents; an empty deque is ten times as big.
"""


class Remembered:
    """The last so many names, each once."""

    __slots__ = ("_limit", "_names")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._names: dict[str, None] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str) -> None:
        """Remember a name; the one remembered longest makes room."""
        self._names[name] = None
        if len(self._names) > self._limit:
            del self._names[next(iter(self._names))]

    def discard(self, name: str) -> None:
        """Forget a name, if it is remembered."""
        self._names.pop(name, None)
