"""What JSON has a form for: checks of documents that came in another format."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from vectoray.core.errors import InvalidRequest

_SCALARS = {str, int, bool, type(None)}
_NUMBERS = {int, float, bool}
_SHOWN_KEY_CHARS = 64
_SHOWN_STEPS = 16


def check_json_values(document: Any, *, where: str = "", binary_keys: frozenset[str] = frozenset()) -> None:
    """Let a document of Python values pass that JSON could hold. Walks without recursion, whatever its depth.

    Memory: grows with the depth alone; places are named only when one is wrong.

    Args:
        document: Dictionaries, lists and scalars.
        where: How to name the document in an error; "" for a body.
        binary_keys: Keys, at any depth, whose values may be bytes all the same.

    Raises:
        InvalidRequest: There are other keys than strings, NaN or infinity, bytes, or other types.
    """
    opened: list[Iterator[tuple[str | int, Any]]] = [iter((("", document),))]
    steps: list[str | int] = [""]
    while opened:
        entry = next(opened[-1], None)
        if entry is None:
            opened.pop()
            steps.pop()
            continue
        steps[-1], value = entry
        kind = type(value)
        if kind is dict:
            if not set(map(type, value)) <= {str}:
                raise _wrong(where, steps, "has a key that is not a string")
            opened.append(iter(value.items()))
            steps.append("")
        elif kind is list:
            if not _is_flat_and_plain(value):
                opened.append(iter(enumerate(value)))
                steps.append(0)
        elif kind is float:
            if not math.isfinite(value):
                raise _wrong(where, steps, "is not a finite number")
        elif kind not in _SCALARS and not (kind is bytes and steps[-1] in binary_keys):
            raise _wrong(where, steps, "is of a type that JSON has no form for, such as binary data")


def _is_flat_and_plain(values: list[Any]) -> bool:
    """Quick, since most lists are vectors. A sum that overflows only means a closer look."""
    kinds = set(map(type, values))
    return kinds <= _SCALARS or (kinds <= _NUMBERS and math.isfinite(sum(values)))


def _wrong(where: str, steps: Sequence[str | int], problem: str) -> InvalidRequest:
    """The error at the end of ``steps``, whose first is the document itself."""
    at = where
    for step in steps[1 : _SHOWN_STEPS + 1]:
        at += f"[{step}]" if isinstance(step, int) else f".{step[:_SHOWN_KEY_CHARS]}"
    at = at.removeprefix(".") + ("..." if len(steps) > _SHOWN_STEPS + 1 else "")
    return InvalidRequest(f"{at or 'The body'} {problem}.", {"at": at})
