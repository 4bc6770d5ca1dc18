"""Request bodies: which content types pass, and reading each into what a wire model validates."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from serve.answer import MSGPACK_TYPE
from serve.arrow_body import decode_arrow
from serve.json_body import decode_json
from serve.msgpack_body import decode_msgpack
from serve.wire_types import WireModel
from vectoray.core.errors import InvalidRequest

ARROW_TYPE = "application/vnd.apache.arrow.stream"
ARROW_BODY = {
    "requestBody": {
        "content": {
            ARROW_TYPE: {
                "schema": {
                    "type": "string",
                    "format": "binary",
                    "description": "Columns id, vector, payload and text; see the documentation of the API.",
                }
            }
        }
    }
}
"""For ``openapi_extra`` of a handler whose body may be an Arrow stream."""

_Decode = Callable[[bytes, type[WireModel]], Any]


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request.

    Raises:
        BodyTooLarge: Raised by the body limit while reading.
        ClientDisconnect: The client left before it had sent everything.
    """
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        return bytes(message.get("body", b""))
    parts = []
    while True:
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def decode_body(body: bytes, content_type: str | None, model: type[WireModel]) -> Any:
    """A body as Python values for ``model`` to validate. Vectors may be float32 arrays already.

    A body without a Content-Type is taken for JSON, which is what short scripts send. Any other type than
    those below is refused even if it parses: a web page may send ``text/plain`` anywhere without asking.

    Raises:
        InvalidRequest: The body is missing, is not what it says, or says that it is something else.
    """
    decode = _decoder(content_type)
    if decode is None or (decode is decode_arrow and model.arrow_rows is None):
        arrow = f" or '{ARROW_TYPE}'" if model.arrow_rows is not None else ""
        raise InvalidRequest(
            "The body must be JSON, sent with 'Content-Type: application/json'; "
            f"'{MSGPACK_TYPE}'{arrow} is accepted as well."
        )
    if not body:
        raise InvalidRequest("This request needs a body, such as JSON.")
    return decode(body, model)


@lru_cache(maxsize=64)
def _decoder(content_type: str | None) -> _Decode | None:
    if content_type is None:
        return decode_json
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        return decode_json
    return {MSGPACK_TYPE: decode_msgpack, ARROW_TYPE: decode_arrow}.get(media_type)
