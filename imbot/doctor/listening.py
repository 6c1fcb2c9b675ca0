"""The address for operators: free, an imbot's, or somebody else's."""

import asyncio
from collections.abc import Mapping

from imbot.admin.health import STATUSES
from imbot.doctor.findings import Finding
from imbot.errors import ActionError
from imbot.jsontext import decode_json
from imbot.model import JSON
from imbot.ports import Http, Request

#: Of more reasons the first ones are told.
_SHOWN = 3
#: An imbot answers at once.
_ASK_S = 5.0
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  nobody listens there, we ask there


async def address(listen: str, http: Http, *, is_in_use: bool) -> Finding:
    """Return whether imbot can listen there, or does.

    Args:
        listen: ``admin.listen``.
        http: A door.
        is_in_use: Whether an imbot uses this store now.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if port == "0":
        return Finding.ok(f"{listen}: any free port")
    if (health := await _health(http, _ANY.get(host, host), port)) is not None:
        return _imbots(listen, health, is_in_use=is_in_use)
    try:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, int(port))
    except OSError as error:
        cure = "stop what listens there, or name an address of this machine and a port above 1023"
        return Finding.failed(f"{listen}: {error.strerror or error}", cure)
    server.close()
    await server.wait_closed()
    return Finding.ok(f"{listen}: free")


def _imbots(listen: str, health: Mapping[str, JSON], *, is_in_use: bool) -> Finding:
    """Return what is to be said of an address at which an imbot listens."""
    told = f"{listen}: an imbot listens there, {health['status']}, "
    told += f"{health.get('agents_up')} of {health.get('agents')} agents up"
    if not is_in_use:
        cure = "stop that one, or give this one another address in admin.listen"
        return Finding.failed(f"{told}, and it is none that uses this store", cure)
    reasons = health.get("reasons")
    if not isinstance(reasons, list) or not reasons:
        return Finding.ok(told)
    shown = "; ".join(str(reason) for reason in reasons[:_SHOWN])
    cure = "see to these; --agent looks at an agent that is not up"
    return Finding.warning(f"{told}: {shown}", cure)


async def _health(http: Http, host: str, port: str) -> Mapping[str, JSON] | None:
    """Return what the imbot that listens there tells of itself; None where none does."""
    named = f"[{host}]" if ":" in host else host
    try:
        reply = await http.send(Request("GET", f"http://{named}:{port}/health", timeout_s=_ASK_S))
        told = decode_json(reply.body)
    except (ActionError, ValueError):
        return None
    is_health = isinstance(told, dict) and told.get("status") in STATUSES
    return told if is_health else None
