"""Whence a request comes: only a proxy of ours is believed."""

import pytest

from serve.middleware.client_address import ClientAddress, network_of

FORGED = (b"x-forwarded-for", b"203.0.113.9")


def address(header: str | None, *headers: tuple[bytes, bytes], client: str | None = "192.0.2.1") -> str:
    scope = {"headers": headers, "client": (client, 5) if client else None}
    first = {name.decode(): value.decode() for name, value in reversed(headers)}
    return ClientAddress(header).of(scope, first)


def test_it_is_whoever_connects() -> None:
    assert address(None, FORGED) == "192.0.2.1"
    assert address(None, client=None) == "unknown"


def test_it_is_whoever_connects_to_our_proxy() -> None:
    assert address(None, FORGED, (b"x-vectoray-client-address", b"198.51.100.7")) == "198.51.100.7"


def test_of_a_header_that_is_named_the_last_value_counts() -> None:
    name = b"x-forwarded-for"
    assert address("X-Forwarded-For", (name, b"203.0.113.9, 198.51.100.7")) == "198.51.100.7"
    assert address("X-Forwarded-For", FORGED, (name, b"198.51.100.7")) == "198.51.100.7"
    assert address("X-Forwarded-For") == "unknown"
    assert address("X-Forwarded-For", (name, b"nonsense")) == "unknown"


@pytest.mark.parametrize(
    ("told", "network"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
    ],
)
def test_addresses_of_one_client_are_one(told: str, network: str) -> None:
    assert network_of(told) == network
