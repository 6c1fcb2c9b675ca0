"""Floods: a session that brings more than anybody can type is answered only now and then.

Each session has a bucket of tokens: an event takes one, and time brings some back. With none left
an event is kept like any other, and so are the words in it, but no rule is asked about it. States
are never held back, nor what our own writes bring: the ones end by themselves, the others by their
depth. Pure.
"""

from imbot.model import Event, EventKind, SessionKey

#: So many events of a session are taken each second when nobody says how many.
PER_S = 10.0

#: So many seconds' worth may come at once: a hasty person, or a desktop that tags a session.
BURST_S = 20.0

#: Python 3.11 calls a function for each look at a member, and every event comes by here.
_MESSAGE, _USERDATA = EventKind.MESSAGE, EventKind.USERDATA


class Floods:
    """The buckets of the sessions that brought something lately.

    Time is that of the receipt of events, so that a backlog which came slowly is no flood.

    Args:
        per_s: How many events of a session are taken each second.
    """

    def __init__(self, per_s: float = PER_S) -> None:
        self._per_s = per_s
        self._burst = per_s * BURST_S
        #: Tokens left, and until when (seconds since 1970) what time brings is counted; the one
        #: longest unused first.
        self._buckets: dict[SessionKey, tuple[float, float]] = {}

    def why_not(self, event: Event) -> str:
        """Take a token for an event; return why no rule is asked about it, empty if one is left."""
        key, kind = event.session_key, event.kind
        if key is None or (kind is not _MESSAGE and (kind is not _USERDATA or event.own)):
            return ""
        now = event.received_at.timestamp()
        tokens, at = self._buckets.pop(key, (self._burst, now))
        tokens = min(tokens + max(now - at, 0.0) * self._per_s, self._burst)
        self._drop_full(now)
        if tokens < 1.0:
            self._buckets[key] = tokens, max(now, at)
            told = f"more than {self._burst:g} events at once, or {self._per_s:g} a second"
            return f"{told}, in this session"
        self._buckets[key] = tokens - 1.0, now
        return ""

    def _drop_full(self, now: float) -> None:
        """Drop the buckets, the one longest unused first, that are full again: as good as none."""
        while self._buckets:
            oldest, (tokens, at) = next(iter(self._buckets.items()))
            if tokens + (now - at) * self._per_s < self._burst:
                return
            del self._buckets[oldest]
