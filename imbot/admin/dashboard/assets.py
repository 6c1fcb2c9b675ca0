"""The files that pages are made with beside themselves: styles, scripts, the icon.

They are read once, and asked for under names that change with what they hold, so that browsers may
keep them for ever and a name can be nothing else than one of these.
"""

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from aiohttp import web

from imbot.admin.routing import RefusedError

#: Where they are asked for.
ASSETS = "/static/{name}"

_FOREVER = "public, max-age=31536000, immutable"

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

#: Letters of the hash in a name.
_HASH_CHARS = 12


class Asset(NamedTuple):
    """A file.

    Attributes:
        body: What it holds.
        type: Its content type.
    """

    body: bytes
    type: str


class Assets:
    """Every file.

    Attributes:
        served: By the name that browsers ask for.
        named: The names that browsers ask for, by those of the files.
    """

    def __init__(self) -> None:
        served: dict[str, Asset] = {}
        named: dict[str, str] = {}
        folder = resources.files("imbot.admin.dashboard") / "static"
        for each in (*folder.iterdir(), *(folder / "vendor").iterdir()):
            stem, _, kind = each.name.rpartition(".")
            if kind in _TYPES:
                body = each.read_bytes()
                hashed = hashlib.sha256(body).hexdigest()[:_HASH_CHARS]
                named[each.name] = f"{stem}.{hashed}.{kind}"
                served[named[each.name]] = Asset(body, _TYPES[kind])
        self.served: Mapping[str, Asset] = served
        self.named: Mapping[str, str] = named

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request for a file.

        Raises:
            RefusedError: There is none of this name.
        """
        asset = self.served.get(request.match_info["name"])
        if asset is None:
            raise RefusedError(404, "path", "there is nothing here")
        headers = {"Content-Type": asset.type, "Cache-Control": _FOREVER}
        return web.Response(body=asset.body, headers=headers)
