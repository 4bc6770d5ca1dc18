"""Whence a request comes, for whoever counts requests. Only what a proxy of ours says is taken for true."""

from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.types import Scope

from cluster.proxy.rewrite import CLIENT_ADDRESS_HEADER

# One customer of a provider has at least so many IPv6 addresses to choose from.
_IPV6_PREFIX = 64
_NOWHERE = "unknown"


class ClientAddress:
    """Reads the address of a request's client.

    HAProxy in front of the gateways puts it into a header of its own, whatever the client sent. Where another
    proxy stands before HAProxy, that one's header is to be named.
    """

    def __init__(self, header: str | None) -> None:
        self._header = None if header is None else header.lower().encode()

    def of(self, scope: Scope, first: Mapping[str, str]) -> str:
        """The network that the request comes from.

        Args:
            scope: Of the request.
            first: Its headers' first values.
        """
        if self._header is not None:
            told = [value for name, value in scope["headers"] if name == self._header]
            # Each proxy appends what it saw, so all but the last may be the client's invention.
            return network_of(told[-1].decode("latin-1").rpartition(",")[2].strip() if told else "")
        told_by_ours = first.get(CLIENT_ADDRESS_HEADER)
        if told_by_ours is not None:
            return network_of(told_by_ours)
        client = scope.get("client")
        return network_of(client[0] if client else "")


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """One name for all addresses that one client can have."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return _NOWHERE
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)
