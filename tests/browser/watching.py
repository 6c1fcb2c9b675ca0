"""What goes wrong in a browser and would be seen by nobody: each page is watched for it."""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.async_api import ConsoleMessage, Dialog, Page

#: Runs in each document before all else: the browser tells these to the document alone.
TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => console.error(
  `against the policy: ${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""

#: What the browser says when a server has ended, as those of tests do before the page is closed.
_GONE = re.compile(
    r"net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|EMPTY_RESPONSE|INCOMPLETE_CHUNKED)"
    r"|htmx:error: Failed to fetch"
)


@dataclass  # no slots: Playwright keeps its wrapper of a method at its object
class Watch:
    """Notes what goes wrong in the pages of a test, which fails if anything is left at its end.

    A page may ask nobody but the server that it came from, says nothing on its console that is an
    error, raises nothing, and opens no box with ``alert``, which is what injected scripts do.

    Attributes:
        troubles: What went wrong, in order.
        asked: The questions of ``confirm`` and ``prompt`` that were put to the person.
        says_yes: How the person answers them.
    """

    troubles: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    says_yes: bool = True

    def forgive(self, pattern: str) -> int:
        """Forget the troubles in which the pattern is found; return how many those were.

        For what a test provokes: a browser calls each answer from 400 on an error.
        """
        kept = [trouble for trouble in self.troubles if not re.search(pattern, trouble)]
        forgiven = len(self.troubles) - len(kept)
        self.troubles[:] = kept
        return forgiven

    def follow(self, page: "Page") -> None:
        """Watch a page from now on; where it goes first is where it belongs."""
        home: list[str] = []

        def reach(url: str) -> None:
            parts = urlsplit(url)
            if parts.scheme in {"about", "blob", "data"}:
                return
            if not home:
                home.append(parts.netloc)
            if parts.netloc != home[0]:
                self.troubles.append(f"a page of {home[0]} asked {url}")

        page.on("request", lambda request: reach(request.url))
        page.on("websocket", lambda socket: reach(socket.url))
        page.on("console", self._hear)
        page.on("dialog", self._answer)
        page.on("pageerror", lambda error: self.troubles.append(f"raised: {error}"))
        page.on("crash", lambda _: self.troubles.append("the page crashed"))

    def _hear(self, message: "ConsoleMessage") -> None:
        if message.type == "error" and not _GONE.search(message.text):
            self.troubles.append(f"console: {message.text} ({message.location.get('url', '')})")

    async def _answer(self, dialog: "Dialog") -> None:
        if dialog.type == "alert":
            self.troubles.append(f"alert: {dialog.message}")
        else:
            self.asked.append(dialog.message)
        await (dialog.accept() if self.says_yes else dialog.dismiss())
