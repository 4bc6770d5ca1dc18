"""Decides which web pages may call this server, and tells their browsers so (CORS).

An anonymous server on this machine can be reached from every page that its user opens, and a browser sends
simple requests without asking. So a page that may not call is refused, not only kept from reading the answer.
"""

import re
from collections.abc import Mapping

from starlette.responses import Response

from vectoray.core.errors import PermissionDenied

_PREFLIGHT_MAX_AGE_S = "600"


class OriginPolicy:
    """Knows the origins that may call: those allowed, and this server's own.

    Its own is the name in the Host header, so `HostCheck` must come first.
    """

    def __init__(self, allowed_regex: str) -> None:
        self._allowed = re.compile(allowed_regex)

    def check(self, origin: str, host: str) -> None:
        """Let a request from a page of ``origin`` to ``host`` pass.

        Raises:
            PermissionDenied: The page may not call this server.
        """
        if self._allowed.fullmatch(origin):
            return
        scheme, _, authority = origin.partition("://")
        if scheme not in ("http", "https") or authority != host:
            raise PermissionDenied("Web pages of this origin may not call this server.")


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Whether a request with an Origin is a browser's question, not a page's call."""
    return method == "OPTIONS" and "access-control-request-method" in headers


def preflight_answer(origin: str, headers: Mapping[str, str]) -> Response:
    """What a page of ``origin``, which may call, may send."""
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


def allowing_headers(origin: str) -> list[tuple[bytes, bytes]]:
    """What an answer to a page of ``origin`` carries, so that its browser shows it to the page."""
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", b"x-request-id, retry-after"),
        (b"vary", b"Origin"),
    ]
