"""The whole HTTP server as one ASGI callable: it picks the API family by path and opens the services."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import cache, partial

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.house import mount_house
from serve.metrics import RequestMetric
from serve.middleware.admission import Admission
from serve.middleware.client_address import ClientAddress
from serve.middleware.guard import Guard, Rules
from serve.middleware.host import HostCheck
from serve.middleware.origin import OriginPolicy
from serve.services import Services, ServicesOnDemand
from serve.settings import ServeSettings
from serve.surface import MountedApp, Surface, document_of, mount
from serve.surfaces.kissvdb.surface import KISSVDB
from serve.surfaces.mcp.surface import MCP
from serve.surfaces.vectorizer.surface import VECTORIZER
from serve.surfaces.vectory.surface import VECTORY
from serve.surfaces.webcontent.surface import WEBCONTENT
from vectoray.core.errors import VectorayError

_log = structlog.get_logger(__name__)

SURFACES: tuple[Surface, ...] = (VECTORY, VECTORIZER, KISSVDB, WEBCONTENT)


def build_app(
    settings: ServeSettings,
    *,
    open_services: Callable[[], Awaitable[Services]],
    anonymous_allowed: bool,
) -> ASGIApp:
    """The server. Needs no running event loop; nothing is opened yet.

    Args:
        settings: The HTTP section of the settings.
        open_services: Called once, at the server's start or at the first request of a family.
        anonymous_allowed: Whether callers without a credential act as the built-in local user. Only for the
            local profile on loopback.
    """
    services = ServicesOnDemand(open_services)
    mounted = [mount(surface, anonymous_allowed=anonymous_allowed) for surface in SURFACES]
    documents = {
        surface.name: (surface.title, cache(partial(document_of, surface, app)))
        for surface, (_, app) in zip(SURFACES, mounted, strict=True)
    }
    rules = Rules(
        hosts=HostCheck((settings.host, *settings.allowed_hosts)),
        origins=OriginPolicy(settings.cors_origin_regex),
        timeout_s=settings.request_timeout_s,
        max_body_bytes=settings.max_body_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        upload_timeout_s=settings.upload_timeout_s,
        compress_min_bytes=settings.compress_min_bytes,
        addresses=ClientAddress(settings.client_address_header),
        admission=Admission(settings.max_concurrent_requests),
        services=services,
    )
    # It is no API of REST: what it offers, a client learns from itself.
    tools, _ = mount(MCP, anonymous_allowed=anonymous_allowed)
    families = [_guarded(family, rules) for family in (*(family for family, _ in mounted), tools)]
    # Documentation and liveness need no services, and are answered however busy the families are.
    house = _guarded(mount_house(documents), replace(rules, admission=None, services=None))
    return _Dispatcher([*families, house], services)


def _guarded(mounted: MountedApp, rules: Rules) -> MountedApp:
    own = replace(rules, upload_paths=mounted.upload_paths)
    return replace(mounted, app=Guard(mounted.app, mounted.answer_error, own, RequestMetric(mounted.name)))


class _Dispatcher:
    """Hands each request to the app with the longest prefix of its path; the path stays as it is.

    What follows a prefix begins with a slash, or with the colon of a verb, as in ``/projects:query``.
    """

    def __init__(self, mounted: Sequence[MountedApp], services: ServicesOnDemand) -> None:
        by_prefix = [(prefix, one.app) for one in mounted for prefix in one.prefixes]
        self._by_prefix = sorted(by_prefix, key=lambda pair: -len(pair[0]))
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._pick(scope["path"])(scope, receive, send)

    def _pick(self, path: str) -> ASGIApp:
        return next(
            app
            for prefix, app in self._by_prefix
            if path == prefix or path.startswith((f"{prefix}/", f"{prefix}:")) or not prefix
        )

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        """Open the services at the start, close them at the end.

        A server that cannot open them at once starts all the same: its requests are answered as unavailable
        until it can.
        """
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._services.get()
                except VectorayError as error:
                    _log.warning("started_without_services", reason=error.message)
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._services.close()
                await send({"type": "lifespan.shutdown.complete"})
                return
