"""Which IP addresses a guarded door may connect to; pure, with tables of its own.

Not `ipaddress.is_global`: what that calls global differs between releases of Python.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TypeAlias

_Address: TypeAlias = IPv4Address | IPv6Address

#: Where clouds tell a machine its credentials: never, also where the network around is one's own.
_METADATA = tuple(
    map(
        ip_address,
        ("169.254.169.254", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"),
    )
)

#: Networks of one's own: where an origin that the settings call internal may be.
_OWN = tuple(
    (what, ip_network(network))
    for what, networks in {
        "an address of this machine": ("127.0.0.0/8", "::1/128"),
        "a private address": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
        "an address behind a carrier's NAT": ("100.64.0.0/10",),
    }.items()
    for network in networks
)

#: Where no service of anybody is.
_NOWHERE = tuple(
    (what, ip_network(network))
    for what, networks in {
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
        "no address of a host": ("0.0.0.0/8", "::/128"),
        "a reserved address": (
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "240.0.0.0/4",
            "2001::/23",
            "2001:db8::/32",
            "2002::/16",
            "3fff::/20",
        ),
    }.items()
    for network in networks
)

#: The only IPv6 addresses that are given out to anybody.
_UNICAST = ip_network("2000::/3")

#: What a NAT64 puts before the IPv4 address that it leads to.
_NAT64 = ip_network("64:ff9b::/96")


def why_refused(address: str, *, is_internal: bool) -> str:
    """Return what the address is if nothing may connect there; empty if it may.

    Args:
        address: As a resolver gives it; with a zone it is refused.
        is_internal: Whether networks of one's own are meant, too.
    """
    try:
        own = _unwrapped(ip_address(address))
    except ValueError:
        return "no plain address"
    if own in _METADATA:
        return "where a cloud keeps its credentials"
    for what, network in _NOWHERE:
        if own in network:
            return what
    for what, network in _OWN:
        if own in network:
            return "" if is_internal else what
    return "a reserved address" if own.version == 6 and own not in _UNICAST else ""  # noqa: PLR2004  the version


def is_own(address: str) -> bool:
    """Return whether the address may be meant by calling its origin internal."""
    return bool(why_refused(address, is_internal=False)) and not why_refused(
        address, is_internal=True
    )


def is_literal(host: str) -> bool:
    """Return whether a host is an address and no name, as URLs write it.

    Raises:
        ValueError: Some system would read it as an address, and it is none as it must be written.
    """
    bare = host.removeprefix("[").removesuffix("]")
    try:
        ip_address(bare)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        if last.isdigit() or last[:2] in {"0x", "0X"} or ":" in host:
            raise ValueError(f"{host!r:.100} is no address as it must be written") from None
        return False
    if "%" in bare:
        raise ValueError(f"{host!r:.100} is an address with a zone")
    return True


def _unwrapped(address: _Address) -> _Address:
    """Return the IPv4 address that an IPv6 address leads to, or the address itself."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("a zone")
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
