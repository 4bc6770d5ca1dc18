"""JSON in and out by orjson: strict about what is JSON, sparing with copies."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from vectoray.core.errors import InvalidRequest


class JsonRequest(Request):
    """A request whose body is decoded before FastAPI asks for it.

    FastAPI answers a body that it cannot read in its own words; here it is our errors that are raised.
    """

    _decoded: Any = None

    async def decode(self) -> None:
        """Read and decode the body.

        A body without a Content-Type is taken for JSON, which is what short scripts send. Any other type than
        JSON is refused even if it parses: a web page may send ``text/plain`` anywhere without asking first.

        Raises:
            BodyTooLarge: Raised by the body limit while reading.
            InvalidRequest: The body is missing, is no JSON, or says that it is something else.
        """
        if not _is_json(self.headers.get("content-type")):
            raise InvalidRequest("The body must be JSON, sent with 'Content-Type: application/json'.")
        body = await self.body()
        if not body:
            raise InvalidRequest("This request needs a JSON body.")
        try:
            self._decoded = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"The body is not valid JSON: {error}.", {"position": error.pos}) from None

    async def json(self) -> Any:
        """The decoded body."""
        return self._decoded


def json_response(content: object, *, status: int = 200) -> Response:
    """``content`` as JSON. May hold float32 arrays, and stored JSON as `stored_json`."""
    return Response(
        orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY),
        status_code=status,
        media_type="application/json",
    )


def stored_json(document: bytes) -> orjson.Fragment:
    """Stored JSON bytes, put into a response as they are."""
    return orjson.Fragment(document)


def encode_object(document: dict[str, Any], *, where: str) -> bytes:
    """A decoded JSON object as the bytes to store.

    Raises:
        InvalidRequest: It is nested more deeply than can be written again.
    """
    try:
        return orjson.dumps(document)
    except TypeError:
        raise InvalidRequest(f"{where} is nested too deeply.", {"at": where}) from None


def _is_json(content_type: str | None) -> bool:
    if content_type is None:
        return True
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
