"""Refuses requests that were sent to another name than this server's.

A web page can point a name of its own at 127.0.0.1 (DNS rebinding) and then read everything that an anonymous
caller on this machine may read. Its requests carry that name in their Host header.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from vectoray.core.errors import PermissionDenied

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class HostCheck:
    """Knows the names of this server, on any port."""

    def __init__(self, allowed_hosts: Iterable[str]) -> None:
        self._allowed = {_bare(host) for host in (*_LOOPBACK, *allowed_hosts)}
        self._every = "*" in self._allowed
        self._is_ours = lru_cache(maxsize=64)(self._names_us)

    def check(self, hosts: Sequence[str]) -> None:
        """Let a request with these Host headers pass.

        Raises:
            PermissionDenied: There is not exactly one, or it is no name of this server.
        """
        if not self._every and (len(hosts) != 1 or not self._is_ours(hosts[0])):
            raise PermissionDenied("This server does not answer to the name in the Host header.")

    def _names_us(self, authority: str) -> bool:
        return host_name(authority) in self._allowed


def host_name(authority: str) -> str:
    """The name in ``name[:port]``, in lower case, without the brackets of an IPv6 address."""
    if authority.startswith("["):
        return _bare(authority.partition("]")[0])
    return _bare(authority.partition(":")[0])


def _bare(host: str) -> str:
    return host.strip("[]").lower().removesuffix(".")
