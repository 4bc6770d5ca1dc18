"""What handlers answer with: JSON by orjson, or MessagePack where the caller asks for it."""

import time
from functools import lru_cache
from typing import Any

import msgpack
import numpy as np
import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cluster.metrics import ENCODE

JSON_TYPE = "application/json"
MSGPACK_TYPE = "application/msgpack"

_JSON_HEADER = (b"content-type", JSON_TYPE.encode())
_MSGPACK_HEADERS = [(b"content-type", MSGPACK_TYPE.encode()), (b"vary", b"Accept")]


class StoredJson:
    """Stored JSON bytes, put into an answer as they are."""

    __slots__ = ("document",)

    def __init__(self, document: bytes) -> None:
        self.document = document


class Answer(Response):
    """An answer in JSON, which becomes MessagePack when its request's Accept header prefers that.

    Attributes:
        content: What the body was made of, with float32 arrays and `StoredJson` in it; None when only the
            body is known.
    """

    def __init__(self, body: bytes, *, status: int = 200, content: object = None) -> None:
        # The base class would look for what is known here: it takes longer than many handlers.
        self.status_code = status
        self.background = None
        self.body = body
        self.content = content
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _JSON_HEADER]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  (ASGI)
        """Send the answer."""
        accept = scope.get("state", {}).get("headers", {}).get("accept")
        body, headers = bytes(self.body), self.raw_headers
        if accept is not None and prefers_msgpack(accept):
            body = self.as_msgpack()
            kept = [header for header in headers if header[0] not in (b"content-length", b"content-type")]
            headers = [(b"content-length", b"%d" % len(body)), *_MSGPACK_HEADERS, *kept]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def as_msgpack(self) -> bytes:
        """The body as MessagePack. Vectors are the bytes of little-endian float32 numbers."""
        content = orjson.loads(self.body) if self.content is None else self.content
        packed: bytes = msgpack.packb(content, default=_plain)
        return packed


def json_response(content: object, *, status: int = 200) -> Answer:
    """``content`` as an answer. May hold float32 arrays, and stored JSON as `stored_json`."""
    started_s = time.perf_counter()
    body = encode_json(content)
    ENCODE.done(started_s)
    return Answer(body, status=status, content=content)


def encode_json(content: object) -> bytes:
    """``content``, as in `json_response`, as JSON."""
    return orjson.dumps(content, default=_spliced, option=orjson.OPT_SERIALIZE_NUMPY)


def stored_json(document: bytes) -> StoredJson:
    """Stored JSON bytes, to be put into an answer."""
    return StoredJson(document)


@lru_cache(maxsize=64)
def prefers_msgpack(accept: str) -> bool:
    """Whether an Accept header names MessagePack, and rates it no lower than JSON."""
    rated = dict(map(_rated, accept.split(",")))
    wanted = rated.get(MSGPACK_TYPE, 0.0)
    return wanted > 0 and wanted >= rated.get(JSON_TYPE, 0.0)


def _rated(choice: str) -> tuple[str, float]:
    name, *parameters = choice.split(";")
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                return name.strip().lower(), float(value)
            except ValueError:
                return name.strip().lower(), 0.0
    return name.strip().lower(), 1.0


def _spliced(value: object) -> orjson.Fragment:
    if isinstance(value, StoredJson):
        return orjson.Fragment(value.document)
    raise TypeError


def _plain(value: object) -> Any:
    if isinstance(value, StoredJson):
        return orjson.loads(value.document)
    if isinstance(value, np.ndarray):
        return value.astype("<f4", copy=False).tobytes()
    raise TypeError(f"{type(value).__name__} has no MessagePack form.")
