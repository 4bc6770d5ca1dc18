"""MessagePack bodies: the same documents as JSON, and vectors as the bytes of float32 numbers."""

from typing import Any

import msgpack

from serve.json_values import check_json_values
from vectoray.core.errors import InvalidRequest


def decode_msgpack(body: bytes, model: Any) -> Any:
    """A MessagePack document as Python values that JSON has too, and bytes at ``model.binary_keys``.

    Raises:
        InvalidRequest: It is no MessagePack, or holds what JSON cannot: other keys than strings, NaN, bytes
            elsewhere, extension types.
    """
    try:
        # Lengths that a header announces are checked against the body's own before anything is allocated.
        document = msgpack.unpackb(body, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException) as error:
        reason = "nested too deeply" if isinstance(error, msgpack.StackError) else "cut short or malformed"
        raise InvalidRequest(f"The body is not valid MessagePack: it is {reason}.") from None
    check_json_values(document, binary_keys=model.binary_keys)
    return document
