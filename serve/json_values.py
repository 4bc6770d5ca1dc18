"""What JSON has a form for: checks of documents that came in another format."""

import math
from typing import Any

from vectoray.core.errors import InvalidRequest

_SCALARS = {str, int, bool, type(None)}


def check_json_values(document: Any, *, where: str = "", binary_keys: frozenset[str] = frozenset()) -> None:
    """Let a document of Python values pass that JSON could hold. Walks without recursion, whatever its depth.

    Args:
        document: Dictionaries, lists and scalars.
        where: How to name the document in an error; "" for a body.
        binary_keys: Keys, at any depth, whose values may be bytes all the same.

    Raises:
        InvalidRequest: There are other keys than strings, NaN or infinity, bytes, or other types.
    """
    waiting: list[tuple[str, Any, bool]] = [(where, document, False)]
    while waiting:
        at, value, binary = waiting.pop()
        kind = type(value)
        if kind is dict:
            for key, inner in value.items():
                if type(key) is not str:
                    raise InvalidRequest(f"{at or 'The body'} has a key that is not a string.", {"at": at})
                waiting.append((f"{at}.{key}" if at else key, inner, key in binary_keys))
        elif kind is list:
            if not _are_finite_floats(value):
                waiting.extend((f"{at}[{place}]", inner, False) for place, inner in enumerate(value))
        elif kind is float:
            if not math.isfinite(value):
                raise InvalidRequest(f"{at or 'The body'} is not a finite number.", {"at": at})
        elif kind not in _SCALARS and not (binary and kind is bytes):
            raise InvalidRequest(
                f"{at or 'The body'} is of a type that JSON has no form for, such as binary data.", {"at": at}
            )


def _are_finite_floats(values: list[Any]) -> bool:
    """Quick, since most lists are vectors. A sum that overflows only means a closer look."""
    return set(map(type, values)) == {float} and math.isfinite(sum(values))
