"""Pages on paper: templates, and how times, numbers and words are written on them."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from imbot.admin.dashboard.assets import Assets
from imbot.durations import format_duration

#: Above every page: scripts, styles and pictures are imbot's own, and nobody frames it.
_POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"),
        *("img-src 'self' data:", "form-action 'self'", "base-uri 'none'"),
        "frame-ancestors 'none'",
    )
)

#: Forms say where they come from, which no-referrer would keep from us, too.
_HEADERS = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "same-origin"}


#: So many moments are kept as they are written: pages that keep up show mostly the same ones.
_MOMENTS = 4096


class Paper:
    """Renders pages; every text of a value is escaped.

    Args:
        assets: The files that pages name.
    """

    def __init__(self, assets: Assets) -> None:
        environment = Environment(
            loader=PackageLoader("imbot.admin.dashboard"),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "moment": moment,
            "ago": ago,
            "away": away,
            "count": count,
            "place": place,
        }
        environment.globals["asset"] = lambda name: f"/static/{assets.named[name]}"
        self._environment = environment

    def page(self, template: str, shown: Mapping[str, Any]) -> str:
        """Return a page as HTML."""
        return self._environment.get_template(template).render(shown)

    def answer(self, template: str, shown: Mapping[str, Any], *, status: int = 200) -> web.Response:
        """Return a page as an answer."""
        return web.Response(
            text=self.page(template, shown),
            status=status,
            content_type="text/html",
            headers=_HEADERS,
        )


def moment(at: datetime, now: datetime) -> Markup:
    """Return when something was, where imbot runs: the time of day, before today with its date."""
    return _moment(at, now.astimezone().date())


@lru_cache(_MOMENTS)
def _moment(at: datetime, today: date) -> Markup:
    local = at.astimezone()
    shown = f"{local:%H:%M:%S}" if local.date() == today else f"{local:%d %b %H:%M}"
    return _dated(at, shown)


def ago(at: datetime | None, now: datetime) -> Markup | str:
    """Return how long ago something was, in one unit."""
    if at is None:
        return "never"
    told = _one_unit(now - at)
    return _dated(at, f"{told} ago" if told else "now")


def away(at: datetime | None, now: datetime) -> Markup | str:
    """Return in how long something will be, in one unit."""
    if at is None:
        return "never"
    told = _one_unit(at - now)
    return _dated(at, f"in {told}" if told else "now")


def _dated(at: datetime, shown: str) -> Markup:
    """Return a time as it is shown, the whole of it when it is asked for."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.isoformat(), f"{at.astimezone():%Y-%m-%d %H:%M:%S %Z}", shown
    )


def _one_unit(span: timedelta) -> str:
    seconds = span.total_seconds()
    for unit_s in (86_400, 3_600, 60, 1):
        if seconds >= unit_s:
            return format_duration(seconds // unit_s * unit_s)
    return ""


def count(number: float) -> str:
    """Return a number with its thousands apart."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def place(of: str) -> Markup:
    """Return a place in a file, the folders before it when they are asked for."""
    return Markup('<span class="soft id" title="{}">{}</span>').format(of, of.rpartition("/")[2])
