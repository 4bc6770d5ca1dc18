"""Compresses large answers for callers that ask for it."""

import asyncio
import zlib
from functools import lru_cache

from starlette.types import Message, Send

_GZIP = 31
_LEVEL = 1
# Compressing more than this holds up the other requests for longer than a thread costs.
_IN_A_THREAD_FROM_BYTES = 256 * 1024

_TYPES = (b"application/json", b"application/msgpack", b"text/html", b"text/css", b"text/javascript")


def compressing(send: Send, accept_encoding: str | None, *, min_bytes: int) -> Send:
    """``send``, which compresses answers of at least ``min_bytes`` if the caller takes gzip.

    Only answers that are sent in one piece: a file or a stream of events passes as it is.
    """
    wanted = accept_encoding is not None and takes_gzip(accept_encoding)
    held: Message | None = None

    async def send_compressed(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start":
            if _is_worth_it(message, min_bytes):
                message["headers"] = [*message["headers"], (b"vary", b"Accept-Encoding")]
                if wanted:
                    held = message
                    return
        elif held is not None:
            start, held = held, None
            if not message.get("more_body", False) and len(message.get("body", b"")) >= min_bytes:
                message = {**message, "body": await _gzip(message["body"])}
                start["headers"] = _headers_of(start["headers"], len(message["body"]))
            await send(start)
        await send(message)

    return send_compressed


@lru_cache(maxsize=64)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header names gzip, or else everything, and does not rate it 0."""
    taken = {}
    for choice in accept_encoding.lower().split(","):
        name, _, parameters = choice.partition(";")
        _, _, quality = parameters.partition("q=")
        taken[name.strip()] = not quality or quality.strip().strip("0") not in ("", ".")
    return taken.get("gzip", taken.get("x-gzip", taken.get("*", False)))


def _is_worth_it(start: Message, min_bytes: int) -> bool:
    length, media_type = 0, b""
    for name, value in start.get("headers", ()):
        if name == b"content-length":
            length = int(value)
        elif name == b"content-type":
            media_type = value
        elif name == b"content-encoding":
            return False
    return length >= min_bytes and media_type.partition(b";")[0] in _TYPES


async def _gzip(body: bytes) -> bytes:
    if len(body) >= _IN_A_THREAD_FROM_BYTES:
        return await asyncio.to_thread(zlib.compress, body, _LEVEL, _GZIP)
    return zlib.compress(body, _LEVEL, _GZIP)


def _headers_of(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    kept = [header for header in headers if header[0] != b"content-length"]
    return [*kept, (b"content-length", b"%d" % length), (b"content-encoding", b"gzip")]
