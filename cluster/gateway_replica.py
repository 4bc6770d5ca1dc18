"""A gateway's process: the application it serves, and the short way of a request to it.

Ray Serve would wrap each request in bookkeeping for its handles, its queue and its metrics, which takes as
long as the application's own work around a search. HAProxy and the application bound and measure requests
already, and a gateway that is to end still finishes those it has: its HTTP server waits for them. See
docs/adr/0025.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.middleware import Middleware

from cluster.draining import Draining

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
AsgiApp = Callable[[_Message, _Receive, _Send], Awaitable[None]]

# What Ray Serve itself answers: whether the process is well, and what it serves.
_SERVES_OWN = "/-/"


class GatewayReplica:
    """A process that speaks HTTP: it builds the ASGI application it was given."""

    app: AsgiApp | None = None
    """The application of this process, once it is built."""

    def __init__(self, build: Callable[[], AsgiApp]) -> None:
        self._build = build

    def __serve_build_asgi_app__(self) -> AsgiApp:
        """Called by Ray Serve after the constructor."""
        GatewayReplica.app = self._build()
        return GatewayReplica.app


class ShortWay:
    """ASGI middleware around what Ray Serve makes of a replica: requests go to its application directly.

    Puts into ``scope["state"]``: ``draining``, by which answers that never end by themselves know when to.
    """

    def __init__(self, serve: AsgiApp) -> None:
        self._serve = serve
        self._draining = Draining(serve)

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Handle one request."""
        app = GatewayReplica.app
        if app is None or scope["type"] != "http" or scope["path"].startswith(_SERVES_OWN):
            await self._serve(scope, receive, send)
        else:
            scope["state"] = {"draining": self._draining}
            await app(scope, receive, send)


def middlewares() -> list[Middleware]:
    """What Ray Serve puts around its own application in every replica; called by it."""
    return [Middleware(ShortWay)]
