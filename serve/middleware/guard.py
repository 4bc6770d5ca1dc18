"""Everything that a request passes before its app, in one layer.

In this order: it gets a number; its Host and Origin are checked; it is counted, or refused when there are too
many; it gets a deadline; its body is limited; services are opened if they are not. One layer and not one for
each, since a layer costs every request about as much as what it does.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.metrics import RequestMetric
from serve.middleware.admission import Admission
from serve.middleware.body_limit import check_announced, counted
from serve.middleware.client_address import ClientAddress
from serve.middleware.compression import compressing
from serve.middleware.host import HostCheck
from serve.middleware.origin import OriginPolicy, allowing_headers, is_preflight, preflight_answer
from serve.services import ServicesOnDemand
from vectoray.core.deadlines import Deadlines, Limit
from vectoray.core.errors import DeadlineExceeded, InternalError, VectorayError

_log = structlog.get_logger(__name__)

_CLIENT_LEFT = 499
_FORM_BYTES = 64 * 1024
_Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Rules:
    """What requests must keep to.

    Attributes:
        timeout_s: A request whose answer has not begun by then is given up. An answer that has begun, such as
            a stream of events, may take as long as it likes.
        max_body_bytes: Larger request bodies are refused.
        max_upload_bytes: Of `upload_paths` instead, without the few bytes of the form around a file.
        upload_timeout_s: A file may take so long to arrive, as long as ``timeout_s`` never passes without a
            part of it.
        compress_min_bytes: Larger answers are compressed when asked.
        addresses: Tells where a request comes from.
        admission: Bounds the requests at a time; None where every request is let in.
        services: Opened before the first request; None for an app that needs none.
        upload_paths: Those to which files are sent.
    """

    hosts: HostCheck
    origins: OriginPolicy
    timeout_s: float
    max_body_bytes: int
    max_upload_bytes: int
    upload_timeout_s: float
    compress_min_bytes: int
    addresses: ClientAddress
    admission: Admission | None
    services: ServicesOnDemand | None
    upload_paths: frozenset[str] = frozenset()

    def body_limit_bytes(self, path: str) -> int:
        """How large the body of a request to ``path`` may be."""
        return self.max_upload_bytes + _FORM_BYTES if path in self.upload_paths else self.max_body_bytes


class Guard:
    """Lets requests that keep to the rules reach the app, and answers when everything below has crashed.

    Puts into ``scope["state"]``: ``request_id``, 32 hexadecimal digits, which also go into log lines and the
    header ``x-request-id`` (a number that the client sends is not used: it could forge or hide lines
    of the log); ``headers``, lower-case names to first values; ``address``, where it comes from;
    ``services``; ``place``, which an answer that goes on for long leaves early.
    """

    def __init__(
        self,
        app: ASGIApp,
        answer_error: Callable[[VectorayError, Scope], Response],
        rules: Rules,
        metric: RequestMetric,
    ) -> None:
        self._app = app
        self._answer_error = answer_error
        self._rules = rules
        self._deadlines = Deadlines(rules.timeout_s)
        self._metric = metric

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        arrived_s = time.perf_counter()
        request_id = secrets.token_hex(16)
        headers = _first_values(scope["headers"])
        scope["state"] = {**scope.get("state", {}), "request_id": request_id, "headers": headers}
        marks: _Headers = [(b"x-request-id", request_id.encode())]
        status = _CLIENT_LEFT

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *marks]
            await send(message)

        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._check(scope, receive, send_marked, marks)
        except ClientDisconnect:
            _log.info("client_left")
        except Exception:  # noqa: BLE001 (the last place where it can be answered and logged)
            # The path as it was declared: a value in it may be a secret.
            path = getattr(scope.get("route"), "path", scope["path"])
            _log.exception("request_crashed", method=scope["method"], path=path)
            if status == _CLIENT_LEFT:
                await self._answer(InternalError("Crashed."), scope, receive, send_marked)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)
            route = getattr(scope.get("route"), "path", "")
            self._metric.observe(time.perf_counter() - arrived_s, route=route, status=status)

    async def _check(self, scope: Scope, receive: Receive, send: Send, marks: _Headers) -> None:
        """What takes no time; a page that may call is told so by ``marks``, whatever the answer is."""
        rules, headers = self._rules, scope["state"]["headers"]
        origin = headers.get("origin")
        try:
            rules.hosts.check(_all_values(scope, headers, "host"))
            if origin is not None:
                rules.origins.check(origin, headers.get("host", ""))
                if is_preflight(scope["method"], headers):
                    await preflight_answer(origin, headers)(scope, receive, send)
                    return
                marks += allowing_headers(origin)
            limit_bytes = rules.body_limit_bytes(scope["path"])
            check_announced(headers.get("content-length", ""), limit_bytes=limit_bytes)
            place = rules.admission.enter() if rules.admission is not None else None
        except VectorayError as refusal:
            await self._answer(refusal, scope, receive, send)
            return
        scope["state"] |= {"place": place, "address": rules.addresses.of(scope, headers)}
        try:
            await self._run(scope, receive, send)
        finally:
            if place is not None:
                place.leave()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app, until the deadline."""
        rules = self._rules
        deadline = self._deadlines.limit()

        async def send_and_relax(message: Message) -> None:
            if message["type"] == "http.response.start":
                deadline.lift()
            await send(message)

        accept_encoding = scope["state"]["headers"].get("accept-encoding")
        respond = compressing(send_and_relax, accept_encoding, min_bytes=rules.compress_min_bytes)
        try:
            with deadline:
                if rules.services is not None and not await self._open(
                    rules.services, scope, receive, respond
                ):
                    return
                limited = counted(receive, limit_bytes=rules.body_limit_bytes(scope["path"]))
                if scope["path"] in rules.upload_paths:
                    limited = _in_time(limited, deadline, within_s=rules.upload_timeout_s)
                await self._app(scope, limited, respond)
        except TimeoutError:
            if not deadline.expired:
                raise
            late = DeadlineExceeded(
                f"The answer was not ready after {rules.timeout_s:g} s. A change may still have been made."
            )
            await self._answer(late, scope, receive, send)

    async def _open(self, services: ServicesOnDemand, scope: Scope, receive: Receive, send: Send) -> bool:
        """Give the request the services; False if it has been answered that there are none."""
        try:
            scope["state"]["services"] = services.opened or await services.get()
        except VectorayError as error:
            await self._answer(error, scope, receive, send)
            return False
        return True

    async def _answer(self, error: VectorayError, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer_error(error, scope)(scope, receive, send)


def _in_time(receive: Receive, deadline: Limit, *, within_s: float) -> Receive:
    """``receive``, which gives the request its whole time again whenever a part of the body arrives."""
    until_s = time.monotonic() + within_s

    async def receive_in_time() -> Message:
        message = await receive()
        if message.get("body") and time.monotonic() < until_s:
            deadline.restart()
        return message

    return receive_in_time


def _first_values(raw: _Headers) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(raw)}


def _all_values(scope: Scope, first: dict[str, str], name: str) -> list[str]:
    if len(first) == len(scope["headers"]):
        return [first[name]] if name in first else []
    wanted = name.encode()
    return [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]
