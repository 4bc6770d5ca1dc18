"""Decides which web pages may call this server, and tells their browsers so (CORS).

An anonymous server on this machine can be reached from every page that its user opens, and a browser sends
simple requests without asking. So a page that may not call is refused, not only kept from reading the answer.
"""

import re
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectoray.core.errors import PermissionDenied, VectorayError

_PREFLIGHT_MAX_AGE_S = "600"


class OriginPolicy:
    """Lets requests pass that have no Origin, an allowed one, or this server's own.

    Its own is the name in the Host header, so `HostCheck` must come first.
    """

    def __init__(
        self,
        app: ASGIApp,
        answer_error: Callable[[VectorayError, Scope], Response],
        *,
        allowed_regex: str,
    ) -> None:
        self._app = app
        self._answer_error = answer_error
        self._allowed = re.compile(allowed_regex)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
        elif not self._may_call(origin, headers.get("host", "")):
            refusal = PermissionDenied("Web pages of this origin may not call this server.")
            await self._answer_error(refusal, scope)(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origin, headers)(scope, receive, send)
        else:
            await self._app(scope, receive, _allowing(send, origin))

    def _may_call(self, origin: str, host: str) -> bool:
        if self._allowed.fullmatch(origin):
            return True
        scheme, _, authority = origin.partition("://")
        return scheme in ("http", "https") and authority == host


def _preflight(origin: str, headers: Headers) -> Response:
    return Response(
        status_code=204,
        headers={
            "access-control-allow-origin": origin,
            "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE",
            "access-control-allow-headers": headers.get("access-control-request-headers", ""),
            "access-control-max-age": _PREFLIGHT_MAX_AGE_S,
            "vary": "Origin, Access-Control-Request-Headers",
        },
    )


def _allowing(send: Send, origin: str) -> Send:
    async def send_allowing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = "vectoray-request-id, retry-after"
            headers.add_vary_header("Origin")
        await send(message)

    return send_allowing
