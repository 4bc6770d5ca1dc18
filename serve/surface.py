"""One API family as a value, and the FastAPI app made of it.

Families differ in paths, wire types, credential and error envelope; everything else is here once. Every
error under a family's paths leaves in its envelope: ours, validation, unknown paths and methods, crashes.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import structlog
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

import vectoray
from serve.auth import (
    ANONYMOUS,
    Access,
    Credential,
    Principal,
    anonymous,
    share_token_of,
    token_holder,
)
from serve.body import decode_body
from serve.deps import access_of
from serve.direct import DirectApp, Faults
from serve.openapi import BEARER_OR_API_KEY, SecurityScheme, openapi_document
from serve.services import Services
from serve.wire_types import WireModel
from vectoray.core.errors import BodyTooLarge, InternalError, InvalidRequest, Unauthenticated, VectorayError

_log = structlog.get_logger(__name__)

_SHOWN_FAULTS = 16
_ERROR_STATUSES = (400, 401, 403, 404, 409, 413, 429, 500, 503)
_RETRY_AFTER_S = 1


@dataclass(frozen=True, slots=True)
class Surface:
    """One API family.

    Attributes:
        name: In paths and logs, such as ``vectorizer``.
        title: For people.
        prefixes: Paths that begin so are the family's, unless another family has a longer one.
        router: The handlers, made by `surface_router`.
        credential: Finds the credential in a request's headers and query string, which may be the only
            place that its clients can put one in.
        upload_paths: Those to which files are sent, whose size and time have bounds of their own.
        render_error: An error, and the name of the handler it comes from ("" before one is chosen), in the
            family's envelope.
        render_http_error: An HTTP status and a sentence, in the family's envelope.
        anonymous_key: What clients send that have no credential; None if they send nothing.
        security: The ways to send a credential that ``credential`` finds, as OpenAPI describes them.
        examples: A file of requests and their answers, see `serve.openapi`; made by ``make transcripts``.
    """

    name: str
    title: str
    prefixes: tuple[str, ...]
    router: APIRouter
    credential: Callable[[Mapping[str, str], bytes], Credential | None]
    render_error: Callable[[VectorayError, str], Response]
    render_http_error: Callable[[int, str], Response]
    examples: Path
    anonymous_key: str | None = None
    security: Mapping[str, SecurityScheme] = field(default_factory=lambda: BEARER_OR_API_KEY)
    upload_paths: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MountedApp:
    """An app, the paths that are its own, and how an error before or around it is answered.

    Attributes:
        name: In paths, logs and metrics.
        upload_paths: As `Surface.upload_paths`.
    """

    name: str
    prefixes: tuple[str, ...]
    app: ASGIApp
    answer_error: Callable[[VectorayError, Scope], Response]
    upload_paths: frozenset[str] = frozenset()


class JsonRequest(Request):
    """A request whose body is decoded before FastAPI asks for it, whose words for what is no JSON differ."""

    _decoded: Any = None

    async def decode(self, *, required: bool) -> None:
        """Read and decode the body; an empty one is None where none is ``required``.

        Raises:
            BodyTooLarge: Raised by the body limit while reading.
            InvalidRequest: The body is missing, is no JSON, or says that it is something else.
        """
        body = await self.body()
        if body or required:
            self._decoded = decode_body(body, self.headers.get("content-type"), WireModel)

    async def json(self) -> Any:
        """The decoded body."""
        return self._decoded


class SurfaceRoute(APIRoute):
    """A route that knows its caller, and decodes its body, before FastAPI looks at either.

    This is the way of handlers that `serve.direct` cannot call. Their bodies are JSON only.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler of a request, behind ours."""
        handle = super().get_route_handler()
        access = access_of(self.dependant)

        async def handle_known_caller(request: Request) -> Response:
            request.state.principal = await _identify(request.app, access, request.scope)
            if self.body_field is None:
                return await handle(request)
            decoded = JsonRequest(request.scope, request.receive)
            await decoded.decode(required=self.body_field.field_info.is_required())
            return await handle(decoded)

        return handle_known_caller


def surface_router(*, prefix: str, error_body: type[BaseModel]) -> APIRouter:
    """A router whose OpenAPI document names ``error_body`` as the envelope of every error."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": error_body, "description": HTTPStatus(status).phrase} for status in _ERROR_STATUSES
    }
    errors["default"] = {"model": error_body, "description": "Any other error"}
    return APIRouter(prefix=prefix, route_class=SurfaceRoute, responses=errors, strict_content_type=False)


async def _identify(app: FastAPI, access: Access, scope: Scope) -> Principal:
    """Who calls, if they have not sent too many requests."""
    caller = await _check_credential(app, access, scope)
    state = scope["state"]
    services: Services = state["services"]
    if services.request_limits.concern(caller):
        await services.request_limits.count(caller, state["address"])
    return caller


async def _check_credential(app: FastAPI, access: Access, scope: Scope) -> Principal:
    """Who calls. A credential is checked even where none is needed: its sender means to be somebody."""
    surface: Surface = app.state.surface
    allowed: bool = app.state.anonymous_allowed
    state = scope["state"]
    credential = surface.credential(state["headers"], scope["query_string"])
    token = share_token_of(state["headers"], scope["query_string"]) if access is Access.SHARED else None
    if credential is None or credential.secret == surface.anonymous_key:
        return anonymous(access, allowed=allowed) if token is None else token_holder(token)
    services: Services = state["services"]
    try:
        principal = await services.authenticator.authenticate(credential, with_local=allowed)
    except Unauthenticated:
        await services.request_limits.count(ANONYMOUS, state["address"])
        raise
    return principal if token is None else replace(principal, share_token=token)


def mount(surface: Surface, *, anonymous_allowed: bool) -> tuple[MountedApp, FastAPI]:
    """The app of a family.

    Args:
        surface: The family.
        anonymous_allowed: Whether a caller without a credential is the built-in local user.
    """
    app = FastAPI(
        title=surface.title,
        version=vectoray.__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # The last version of OpenAPI that the bundled documentation page reads; see serve.openapi.
    app.openapi_version = "3.0.3"
    app.state.surface = surface
    app.state.anonymous_allowed = anonymous_allowed
    # The routes as they are: including a router wraps every one of them anew, at a cost to every request.
    app.router.routes.extend(surface.router.routes)

    def answer(error: VectorayError, scope: Scope) -> Response:
        return answer_error(surface, error, scope)

    async def on_error(request: Request, error: Exception) -> Response:
        return answer(_as_ours(error), request.scope)

    async def on_http_error(request: Request, error: Exception) -> Response:
        return _answer_http_error(surface, request, error)

    app.add_exception_handler(HTTPException, on_http_error)
    for kind in (VectorayError, RequestValidationError, Exception):
        app.add_exception_handler(kind, on_error)
    direct = DirectApp(
        app,
        app.router.routes,
        identify=partial(_identify, app),
        answer=lambda error, scope: answer(_as_ours(error), scope),
    )
    return MountedApp(surface.name, surface.prefixes, direct, answer, surface.upload_paths), app


def document_of(surface: Surface, app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of a family, whose app `mount` has made."""
    examples = orjson.loads(surface.examples.read_bytes()) if surface.examples.exists() else {}
    return openapi_document(app, security=surface.security, examples=examples)


def answer_error(surface: Surface, error: VectorayError, scope: Scope) -> Response:
    """``error`` in the family's envelope, with the headers that every family sends with it.

    What a fault of ours says is for the log; the caller gets the number to find it by.
    """
    request_id = scope.get("state", {}).get("request_id", "")
    if isinstance(error, InternalError):
        if type(error) is not _Crash:
            _log.error("request_failed", code=error.code.value, reason=error.message, details=error.details)
        error = InternalError("The server failed to answer this request.", {"request_id": request_id})
    response = surface.render_error(error, getattr(scope.get("route"), "name", ""))
    if isinstance(error, Unauthenticated):
        response.headers["www-authenticate"] = "Bearer"
    if isinstance(error, BodyTooLarge):
        # What the client is still sending is not read any more.
        response.headers["connection"] = "close"
    if error.retryable:
        response.headers["retry-after"] = str(error.details.get("retry_after_s", _RETRY_AFTER_S))
    return response


class _Crash(InternalError):
    """An exception that nobody raised on purpose; whoever lets it out logs it with its traceback."""


def _as_ours(error: Exception) -> VectorayError:
    if isinstance(error, VectorayError):
        return error
    if isinstance(error, RequestValidationError):
        return describe_faults(error.errors())
    if isinstance(error, Faults):
        return describe_faults(error.faults)
    return _Crash("An unexpected exception.")


def _answer_http_error(surface: Surface, request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise TypeError("Not an HTTP error.") from error
    messages = {
        404: "There is nothing at this path.",
        405: f"This path does not answer to {request.method[:16]}.",
    }
    message = messages.get(error.status_code, f"{HTTPStatus(error.status_code).phrase}.")
    response = surface.render_http_error(error.status_code, message)
    response.headers.update(error.headers or {})
    return response


def describe_faults(faults: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """What pydantic found, as one sentence about the first fault and a list of all (up to 16)."""
    described = [
        {"at": _place(fault["loc"]), "message": fault["msg"].removeprefix("Value error, ")}
        for fault in faults[:_SHOWN_FAULTS]
    ]
    first = described[0]
    more = f" ({len(faults) - 1} more)" if len(faults) > 1 else ""
    message = f"{first['at']}: {first['message']}{more}." if first["at"] else f"{first['message']}{more}."
    return InvalidRequest(message, {"errors": described})


def _place(loc: Sequence[str | int]) -> str:
    """Where a fault is, as a client would write it: ``vectors[3].id``."""
    place = ""
    for step in loc[1:]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}"
    return place.removeprefix(".") or ("" if loc[:1] == ("body",) else ".".join(map(str, loc)))
