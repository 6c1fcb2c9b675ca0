"""The pages: where each is, and which questions to the API it shows the answers of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        path: Where it is, with ``{names}``.
        title: What it is called; empty for one that bears the name of what it shows.
        template: What it is rendered with.
        asks: What is asked of the API, by the names under which the template finds the answers;
            what stands in the page's own path and query is passed on.
        moved_by: The topics of :mod:`imbot.admin.dashboard.live` with which it is outdated.
    """

    path: str
    title: str
    template: str
    asks: Mapping[str, str]
    moved_by: Sequence[str] = ()


#: Every page, in the order of the menu.
PAGES: Sequence[Page] = (
    Page(
        *("/", "Overview", "overview.html"),
        {
            "health": "/health",
            "calendars": "/calendars",
            "sessions": "/sessions?limit=8",
        },
        moved_by=("sessions", "condition"),
    ),
    Page(
        *("/sessions", "Sessions", "sessions.html", {"sessions": "/sessions?limit=25"}),
        moved_by=("sessions",),
    ),
    Page(
        *("/sessions/{session}", "", "session.html", {"stories": "/sessions/{session}"}),
        moved_by=("session:{session}",),
    ),
    Page(*("/why", "", "why.html", {"why": "/why"})),
    Page(*("/rules", "Rules", "rules.html", {"rules": "/rules?limit=50"}), moved_by=("rules",)),
    Page(*("/rules/{rule}", "", "rule.html", {"rule": "/rules/{rule}"}), moved_by=("rules",)),
    Page(
        *("/parked", "Parked", "parked.html", {"parked": "/parked", "failed": "/failed"}),
        moved_by=("condition",),
    ),
    Page(*("/agents", "Agents", "agents.html", {"agents": "/agents"}), moved_by=("condition",)),
    Page(
        *("/calendars", "Calendars", "calendars.html", {"calendars": "/calendars"}),
        moved_by=("condition",),
    ),
    Page("/timers", "Timers", "timers.html", {"timers": "/timers"}, moved_by=("sessions",)),
    Page("/plugins", "Plugins", "plugins.html", {"plugins": "/plugins"}),
    Page("/settings", "Settings", "settings.html", {"settings": "/settings"}),
    Page("/audit", "Audit trail", "audit.html", {"audit": "/audit"}),
)
