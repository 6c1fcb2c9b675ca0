"""imbot.addresses: which addresses a guarded door may connect to."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imbot.addresses import is_literal, is_own, why_refused

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::6810:84e5", "64:ff9b::808:808", "::ffff:8.8.8.8"]
OWN = [
    *("127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"),
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1"),
    *("::ffff:10.0.0.1", "64:ff9b::a00:1", "fc00::1", "fd12:3456::1"),
    *("100.64.0.1", "100.127.255.255"),
]
NEVER = [
    *("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"),
    *("100.100.100.200", "168.63.129.16", "fd20:ce::254", "169.254.0.1", "fe80::1", "fe80::1%lo"),
    *("0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.255", "ff02::1"),  # noqa: S104  never bound
    *("192.0.0.8", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1"),
    *("240.0.0.1", "255.255.255.255", "2001:db8::1", "2001::1", "2002:7f00:1::1", "3fff::1"),
    *("::7f00:1", "::127.0.0.1", "64:ff9b:1::a00:1", "100::1", "5f00::1", "fec0::1", "4000::1"),
    *("", "localhost", "127.1", "0177.0.0.1", "1.2.3.4.5"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address):
    assert not why_refused(address, is_internal=False)
    assert not is_own(address)


@pytest.mark.parametrize("address", OWN)
def test_an_address_of_ones_own_network_only_where_the_settings_say_so(address):
    assert why_refused(address, is_internal=False)
    assert not why_refused(address, is_internal=True)
    assert is_own(address)


@pytest.mark.parametrize("address", NEVER)
def test_other_addresses_are_never_reached(address):
    """Not even by a name that is called internal: who answers for it may not be its owner."""
    assert why_refused(address, is_internal=False)
    assert why_refused(address, is_internal=True)
    assert not is_own(address)


@given(st.ip_addresses())
def test_what_python_knows_to_be_no_public_address_is_refused(address):
    """Two tables that were made apart agree on what is dangerous."""
    python = address if isinstance(address, IPv4Address) else address.ipv4_mapped or address
    if not python.is_global and python not in ip_network("64:ff9b::/96"):
        assert why_refused(str(address), is_internal=False)


@given(st.ip_addresses(v=4))
def test_the_wrappings_of_an_ipv4_address_are_judged_as_that_address(address):
    for wrapped in (f"::ffff:{address}", str(IPv6Address(f"64:ff9b::{address}"))):
        for is_internal in (False, True):
            assert why_refused(wrapped, is_internal=is_internal) == why_refused(
                str(address), is_internal=is_internal
            )


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:1.2.3.4]"])
def test_an_address_is_told_from_a_name(host):
    assert is_literal(host)


@pytest.mark.parametrize("host", ["crm.example", "crm.example.", "localhost", "1.example", "a-1"])
def test_a_name_is_no_address(host):
    assert not is_literal(host)


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "2130706433", "0x7f000001", "0X7F.1", "0177.0.0.1", "127.0.0.1.", "1.2.3.256"),
        *("127.0.0.0x1", "[fe80::1%lo]", "[1:2]", "1.2.3.4.5", "00000000177.1"),
    ],
)
def test_what_only_some_systems_read_as_an_address_is_neither(host):
    with pytest.raises(ValueError, match="address"):
        is_literal(host)
