"""Turns host names into addresses that passed the policy; connections are made to exactly those.

The connector asks here once for a connection and gets numbers, so between the check and the connection nobody
can change what a name leads to (DNS rebinding). TLS still verifies the certificate against the name.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from pipelines.fetch.addresses import AddressPolicy, is_local_name
from pipelines.fetch.page import FetchError, FetchFailure

_LOOKUP_THREADS = 32

Lookup = Callable[[str], Awaitable[list[str]]]
"""The addresses of a host name; raises `OSError` if it has none."""


class SystemLookup:
    """Asks this machine's own resolver.

    It blocks, for seconds if a name server does not answer; with threads enough, names behind such a server
    keep few others waiting.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="lookup")

    async def __call__(self, name: str) -> list[str]:
        """The addresses of a host name."""
        ask = partial(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, ask)
        return [str(address[0]) for *_, address in found]


class CheckedResolver(AbstractResolver):
    """What an aiohttp connector resolves names with."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a name, each of which may be connected to.

        Raises:
            FetchError: The name has no address, or one that may not be fetched from.
        """
        # With the dot, no domain of this machine's network is tried behind the name.
        name = host if is_local_name(host) else f"{host}."
        try:
            addresses = await self._lookup(name)
        except (OSError, UnicodeError):
            addresses = []
        if not addresses:
            raise FetchError.of(
                FetchFailure.HOST_NOT_FOUND,
                "The host of the URL cannot be found; see that it is spelled right.",
            )
        self._policy.check_addresses(host, port, addresses)
        return [_result(host, port, address) for address in addresses if _of_family(address, family)]

    async def close(self) -> None:
        """Nothing is open."""


def _of_family(address: str, family: socket.AddressFamily) -> bool:
    return family in (socket.AF_UNSPEC, _family(address))


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=_family(address),
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
