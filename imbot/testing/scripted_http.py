"""A way out that leads to answers that a test has written down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from imbot.ports import Reply, Request
from imbot.testing.script import Answered, Timed

#: What is answered where the test says nothing.
DEFAULT = Answered("")


@dataclass(slots=True)
class ScriptedHttp:
    """Implements :class:`imbot.ports.Http`.

    Of the answers that fit a URL, the latest that is in force is given, of those of one moment the
    first that is not used up.

    Attributes:
        answers: What the test says, in order of time.
        now_ms: Tells the milliseconds since the start.
    """

    answers: Sequence[Timed]
    now_ms: Callable[[], int]
    _used: dict[int, int] = field(default_factory=dict)

    async def send(self, request: Request) -> Reply:
        """Return what the test says."""
        answer = self._answer(request.url)
        kind = {"content-type": "application/json"} if answer.body else {}
        return Reply(answer.status, kind, answer.body)

    async def close(self) -> None:
        """Do nothing."""

    def _answer(self, url: str) -> Answered:
        found, found_at = None, -1
        for number, timed in enumerate(self.answers):
            answer = timed.what
            if not isinstance(answer, Answered) or answer.match not in url:
                continue
            is_used_up = answer.times is not None and self._used.get(number, 0) >= answer.times
            if not is_used_up and found_at < timed.at_ms <= self.now_ms():
                found, found_at = number, timed.at_ms
        if found is None:
            return DEFAULT
        self._used[found] = self._used.get(found, 0) + 1
        chosen = self.answers[found].what
        return chosen if isinstance(chosen, Answered) else DEFAULT
