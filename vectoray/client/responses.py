"""What an HTTP answer means: a value, or one of the core errors. Does no I/O.

Knows both error envelopes the client can meet, ``{"error", "code", "details"}`` (Vectorizer) and
``{"detail"}`` (Vectory), and answers that are neither, as a proxy gives them.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import orjson

from vectoray.client.calls import Call
from vectoray.core.errors import (
    BodyTooLarge,
    CollectionExists,
    CollectionNotFound,
    Conflict,
    DeadlineExceeded,
    DimensionMismatch,
    InternalError,
    InvalidName,
    InvalidRequest,
    PermissionDenied,
    PointNotFound,
    RateLimited,
    Unauthenticated,
    Unavailable,
    VectorayError,
)

T = TypeVar("T")

# Codes that say more than their status. VECTOR_INSERTION_FAILED and SEARCH_FAILED do not: they come with
# several statuses, and the status tells whether another try can help.
_BY_CODE: Mapping[str, type[VectorayError]] = {
    "COLLECTION_NOT_FOUND": CollectionNotFound,
    "VECTOR_NOT_FOUND": PointNotFound,
    "INVALID_DIMENSION": DimensionMismatch,
    "INVALID_COLLECTION_NAME": InvalidName,
    "COLLECTION_ALREADY_EXISTS": CollectionExists,
}

_BY_STATUS: Mapping[int, type[VectorayError]] = {
    401: Unauthenticated,
    403: PermissionDenied,
    409: Conflict,
    413: BodyTooLarge,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def read_answer(call: Call[T], *, status: int, body: bytes) -> T:
    """Return the value of an answer.

    Args:
        call: What was asked.
        status: HTTP status of the answer.
        body: The answer's body, undecoded.

    Raises:
        VectorayError: The server refused or failed; the class says which, the message is the server's.
        InternalError: The answer has a form that this client does not know.
    """
    if not 200 <= status < 300:
        raise _error(call, status, body)
    try:
        return call.parse(orjson.loads(body) if body else None)
    except (ValueError, KeyError, TypeError) as error:
        raise InternalError(
            f"{call.method} {call.path} answered in a form this client does not know; "
            "is the server a Vectoray of the same version?"
        ) from error


def _error(call: Call[Any], status: int, body: bytes) -> VectorayError:
    envelope = _object(body)
    message = envelope.get("error") or envelope.get("detail")
    if not isinstance(message, str):
        message = f"{call.method} {call.path} was answered with status {status} and no explanation."
    details = envelope.get("details")
    kind = _BY_CODE.get(str(envelope.get("code"))) or _kind_of_status(call, status)
    return kind(message, details if isinstance(details, dict) else None)


def _kind_of_status(call: Call[Any], status: int) -> type[VectorayError]:
    if status == 404:
        return call.missing
    return _BY_STATUS.get(status) or (InvalidRequest if 400 <= status < 500 else InternalError)


def _object(body: bytes) -> dict[str, Any]:
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
