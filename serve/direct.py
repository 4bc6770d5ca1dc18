"""Calls handlers without FastAPI in between, where their parameters are simple enough.

FastAPI declares them, documents them and answers for paths that are not there. Its own way from a request to
a handler takes longer than a search. See docs/adr/0020.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.metrics import DECODE
from serve import deps
from serve.answer import Answer
from serve.auth import Access, Principal
from serve.body import decode_body, read_body
from serve.routes import RouteTable
from serve.wire_types import WireModel
from vectoray.core.errors import VectorayError

Fault = Mapping[str, Any]

# Bodies up to this size are decoded in about a millisecond; others must not hold up who else is served.
_SMALL_BYTES = 256 * 1024

# What a handler may ask for besides path, query and body, and where it is in the request's state.
_FROM_STATE = {
    deps.caller_of: "principal",
    deps.signed_in_of: "principal",
    deps.address_of: "address",
    deps.reader_of: "principal",
    deps.services_of: "services",
}

_NOT_DIRECT = (
    "header_params",
    "cookie_params",
    "request_param_name",
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
)


class Faults(Exception):
    """What is wrong with a request, as pydantic says it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__()
        self.faults = faults


@dataclass(frozen=True, slots=True)
class DirectHandler:
    """A handler whose parameters are known.

    Attributes:
        access: Who may call it.
        given: Parameter name -> key in the request's state.
        body: Name and model of the parameter that is the body.
        parameters: Path and query as FastAPI knows them, where they are more than strings in the path.
        render: Makes an answer of what the handler returns.
    """

    route: APIRoute
    access: Access
    given: Mapping[str, str]
    body: tuple[str, type[WireModel]] | None
    parameters: Dependant | None
    render: Callable[[Any], Response]

    async def respond(self, scope: Scope, receive: Receive, path: dict[str, str]) -> Response:
        """Decode, validate, call, encode.

        Raises:
            Faults: What was sent is not what the handler takes.
        """
        state = scope["state"]
        arguments: dict[str, Any] = path
        faults: list[Fault] = []
        if self.parameters is not None:
            arguments, faults = _parameters(self.parameters, path, scope)
        if self.body is not None:
            name, model = self.body
            body = await read_body(receive)
            started_s = time.perf_counter()
            content_type = state["headers"].get("content-type")
            try:
                if len(body) <= _SMALL_BYTES:
                    arguments[name] = _decoded(body, content_type, model)
                else:
                    arguments[name] = await asyncio.to_thread(_decoded, body, content_type, model)
            except ValidationError as error:
                found = error.errors(include_url=False, include_input=False)
                faults += [{**fault, "loc": ("body", *fault["loc"])} for fault in found]
            DECODE.done(started_s)
        if faults:
            raise Faults(faults)
        for name, key in self.given.items():
            arguments[name] = state[key]
        return self.render(await self.route.endpoint(**arguments))


def direct_handler(route: APIRoute) -> DirectHandler | None:
    """The handler of ``route``; None if only FastAPI can call it."""
    dependant = route.dependant
    body = _body_of(route)
    given = {
        str(one.name): _FROM_STATE[one.call] for one in dependant.dependencies if one.call in _FROM_STATE
    }
    if (
        any(getattr(dependant, name) for name in _NOT_DIRECT)
        or len(given) != len(dependant.dependencies)
        or (dependant.body_params and body is None)
    ):
        return None
    plain = not dependant.query_params and all(_is_plain(one.field_info) for one in dependant.path_params)
    return DirectHandler(
        route=route,
        access=deps.access_of(dependant),
        given=given,
        body=body,
        parameters=None if plain else dependant,
        render=_renderer(route),
    )


class DirectApp:
    """Answers what direct handlers answer, and leaves everything else to ``app``."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[Any],
        *,
        identify: Callable[[Access, Scope], Awaitable[Principal]],
        answer: Callable[[Exception, Scope], Response],
    ) -> None:
        """An app in front of ``app``.

        Args:
            app: FastAPI's.
            routes: Its routes.
            identify: Who sends a request to a handler of this access.
            answer: The answer to any error.
        """
        self._app = app
        self._identify = identify
        self._answer = answer
        self._table = RouteTable(
            (method, route.path, handler)
            for route in routes
            if isinstance(route, APIRoute) and (handler := direct_handler(route)) is not None
            for method in route.methods or ()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        found = None if scope.get("root_path") else self._table.find(scope["method"], scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        handler, path = found
        scope["route"] = handler.route
        try:
            state = scope["state"]
            state["principal"] = await self._identify(handler.access, scope)
            response = await handler.respond(scope, receive, path)
        except (VectorayError, Faults) as error:
            response = self._answer(error, scope)
        except ClientDisconnect:
            raise
        except Exception as error:
            # Answered here, in the family's envelope, and logged by whoever catches it.
            await self._answer(error, scope)(scope, receive, send)
            raise
        await response(scope, receive, send)


def _parameters(
    declared: Dependant, path: Mapping[str, str], scope: Scope
) -> tuple[dict[str, Any], list[Fault]]:
    from_path, path_faults = request_params_to_args(declared.path_params, path)
    from_query, query_faults = request_params_to_args(
        declared.query_params, QueryParams(scope["query_string"])
    )
    return {**from_path, **from_query}, [*path_faults, *query_faults]


def _decoded(body: bytes, content_type: str | None, model: type[WireModel]) -> WireModel:
    document = decode_body(body, content_type, model)
    valid: WireModel = model.__pydantic_validator__.validate_python(document, from_attributes=True)
    return valid


def _body_of(route: APIRoute) -> tuple[str, type[WireModel]] | None:
    """The one parameter that is the whole body, if it is one of our models and must be there."""
    if len(route.dependant.body_params) != 1:
        return None
    [parameter] = route.dependant.body_params
    model = parameter.field_info.annotation
    whole = route.body_field is parameter
    if not (whole and isinstance(model, type) and issubclass(model, WireModel)):
        return None
    return (parameter.name, model) if parameter.field_info.is_required() else None


def _is_plain(parameter: Any) -> bool:
    """Whether any string from a path will do."""
    return parameter.annotation is str and not parameter.metadata


def _renderer(route: APIRoute) -> Callable[[Any], Response]:
    status = route.status_code or 200
    adapter: TypeAdapter[Any] = TypeAdapter(route.response_model)

    def render(returned: Any) -> Response:
        if isinstance(returned, Response):
            return returned
        return Answer(adapter.dump_json(returned, by_alias=True), status=status)

    return render
