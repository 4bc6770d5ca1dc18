"""Which URLs and addresses may be fetched: the one place of the policy against requests into our own network.

A URL comes from a user, the request from our network. So nothing is fetched but from public addresses, unless
an operator allowed the host. What a URL says is looked at by `AddressPolicy.admit`, what its name leads to by
`AddressPolicy.check_addresses`.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

from pipelines.fetch.page import FetchError, FetchFailure
from pipelines.fetch.settings import FetchSettings

_Address = IPv4Address | IPv6Address

_MAX_URL_CHARS = 8192
_MAX_HOST_CHARS = 253
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
# What resolvers take for an IPv4 address in some spelling: the WHATWG's "ends in a number".
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_ENDINGS = (
    ".localhost",
    ".localdomain",
    ".local",
    ".internal",
    ".intranet",
    ".lan",
    ".home.arpa",
    ".onion",
)

# IANA's registry of special-purpose IPv4 addresses, without what is globally reachable in it.
_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host, this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a carrier's NAT; some clouds' metadata
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunneling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "168.63.129.16/32",  # a public address by which a cloud's own services are reached from inside
    )
)
# What is in use as global unicast. Outside are loopback, link-local, unique local and multicast addresses,
# and those that carry an IPv4 address (mapped, compatible, NAT64).
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)


def is_public(address: _Address) -> bool:
    """Whether an address is one that anybody on the Internet can reach."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    # A zone names an interface of this machine.
    return (
        address.scope_id is None
        and address in _GLOBAL_UNICAST
        and not any(address in network for network in _NOT_PUBLIC_V6)
    )


def is_local_name(host: str) -> bool:
    """Whether a name means something on this machine or in this network alone."""
    return "." not in host or host.endswith(_LOCAL_ENDINGS)


class AddressPolicy:
    """What the settings allow."""

    def __init__(self, settings: FetchSettings) -> None:
        self._ports = frozenset(settings.allow_ports)
        self._names: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for host in settings.allow_hosts:
            try:
                self._networks.append(ip_network(host))
            except ValueError:
                self._names.add(host)

    def admit(self, told: str | URL) -> URL:
        """A URL in the spelling in which it may be requested, without its fragment.

        To be asked before every request, of a redirect's target too. A host that is an address has passed
        when this returns; one that is a name has not, before its addresses pass `check_addresses`.

        Raises:
            FetchError: It is no URL that may be fetched.
        """
        if len(str(told)) > _MAX_URL_CHARS:
            raise _invalid(f"is longer than {_MAX_URL_CHARS} characters")
        try:
            url = URL(told)
            host, port = url.raw_host, url.port
        except ValueError:
            raise _invalid("cannot be read") from None
        if url.scheme not in ("http", "https"):
            raise _invalid("must begin with 'http://' or 'https://'")
        if url.raw_user is not None or url.raw_password is not None:
            raise _invalid("holds a user name or password; remove it")
        if not host or not port:
            raise _invalid("has no valid host")
        host = host.removesuffix(".")
        address = _literal(host)
        if address is not None:
            self._check(address, port)
        elif host not in self._names:
            _check_name(host)
            # Where no network of ours is allowed, the answer could only tell whether there is such a name.
            if is_local_name(host) and not self._networks:
                raise _not_public()
        # Certificates, and the policy, know names without a dot at their end.
        return (url if host == url.raw_host else url.with_host(host)).with_fragment(None)

    def check_addresses(self, host: str, port: int, addresses: Iterable[str]) -> None:
        """Check all that a name leads to: any of them might be connected to.

        Raises:
            FetchError: One of the addresses may not be fetched from.
        """
        if host in self._names:
            return
        for address in addresses:
            self._check(ip_address(address), port)

    def _check(self, address: _Address, port: int) -> None:
        if any(address in network for network in self._networks):
            return
        if not is_public(address):
            raise _not_public()
        if port not in self._ports:
            raise FetchError.of(
                FetchFailure.PORT_NOT_ALLOWED,
                f"Port {port} is not one that pages are fetched from: those are in the server's setting "
                "pipelines.fetch.allow_ports.",
            )


def _literal(host: str) -> _Address | None:
    """The address that a host is; None for a name.

    Raises:
        FetchError: It is an address in a spelling that hides which.
    """
    if ":" in host:
        try:
            return IPv6Address(host)
        except ValueError:
            raise _invalid("has no valid host") from None
    if _NUMBER.fullmatch(host.rpartition(".")[2]) is None:
        return None
    try:
        return IPv4Address(host)
    except ValueError:
        raise _invalid(
            "has an address as its host that is not four decimal numbers; write it as such"
        ) from None


def _check_name(host: str) -> None:
    if len(host) > _MAX_HOST_CHARS or _NAME.fullmatch(host) is None:
        raise _invalid("has no valid host")


def _invalid(problem: str) -> FetchError:
    return FetchError.of(FetchFailure.INVALID_URL, f"The URL {problem}.")


def _not_public() -> FetchError:
    return FetchError.of(
        FetchFailure.NOT_PUBLIC,
        "The URL does not lead to a public address. Only those are fetched, and hosts in the server's "
        "setting pipelines.fetch.allow_hosts.",
    )
