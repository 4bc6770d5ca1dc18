"""Refuses requests that were sent to another name than this server's.

A web page can point a name of its own at 127.0.0.1 (DNS rebinding) and then read everything that an anonymous
caller on this machine may read. Its requests carry that name in their Host header.
"""

from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from vectoray.core.errors import PermissionDenied, VectorayError

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class HostCheck:
    """Lets requests pass whose Host header names this server, on any port."""

    def __init__(
        self,
        app: ASGIApp,
        answer_error: Callable[[VectorayError, Scope], Response],
        *,
        allowed_hosts: Iterable[str],
    ) -> None:
        self._app = app
        self._answer_error = answer_error
        self._allowed = {_bare(host) for host in (*_LOOPBACK, *allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        hosts = Headers(scope=scope).getlist("host")
        if "*" in self._allowed or (len(hosts) == 1 and host_name(hosts[0]) in self._allowed):
            await self._app(scope, receive, send)
            return
        refusal = PermissionDenied("This server does not answer to the name in the Host header.")
        await self._answer_error(refusal, scope)(scope, receive, send)


def host_name(authority: str) -> str:
    """The name in ``name[:port]``, in lower case, without the brackets of an IPv6 address."""
    if authority.startswith("["):
        return _bare(authority.partition("]")[0])
    return _bare(authority.partition(":")[0])


def _bare(host: str) -> str:
    return host.strip("[]").lower().removesuffix(".")
