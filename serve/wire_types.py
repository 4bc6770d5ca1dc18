"""Types that the wire models of every API family are made of."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema

from serve.json_body import Reader
from vectoray.core.model import FloatVector

_NUMBERS = {int, float}


class WireModel(BaseModel):
    """A request body, or an object in one: no conversion between types, unknown keys are ignored.

    Attributes:
        readers: Keys whose values are read straight into columns and arrays, where the body is JSON.
        array_reader: Reads a body that is an array, likewise; None if there is no quick way.
        binary_keys: Keys, at any depth, whose values may be bytes where the body is MessagePack.
        arrow_rows: The key that stands for the rows of an Arrow stream; None if the body cannot be one.
    """

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    readers: ClassVar[Mapping[str, Reader]] = {}
    array_reader: ClassVar[Reader | None] = None
    binary_keys: ClassVar[frozenset[str]] = frozenset()
    arrow_rows: ClassVar[str | None] = None


def _to_vector(value: object) -> FloatVector:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, bytes) and len(value) % 4 == 0:
        return np.frombuffer(value, dtype="<f4").astype(np.float32, copy=False)
    # The type of each element is looked at before NumPy sees it, which would take "1.5" and true for numbers.
    if not isinstance(value, list) or not _NUMBERS.issuperset(map(type, value)):
        raise ValueError("must be a flat list of numbers")
    # A double beyond float32 becomes infinite here; check_vector refuses it and names the element.
    with np.errstate(over="ignore"):
        return np.array(value, dtype=np.float32)


Vector = Annotated[
    FloatVector,
    PlainValidator(_to_vector),
    PlainSerializer(lambda vector: vector.tolist()),
    WithJsonSchema({"type": "array", "items": {"type": "number", "format": "float"}}),
]
"""A list of numbers as float32, shape (d,). Its length and values are for the service to check.

In MessagePack it may also be the bytes of d little-endian float32 numbers.
"""


def one_spelling(document: object, spellings: Mapping[str, str]) -> object:
    """``document`` with every key of ``spellings`` renamed to its value.

    Args:
        document: A decoded request body; anything but an object is returned as it is.
        spellings: Accepted key -> documented key.

    Raises:
        ValueError: Both keys are given and differ. One that is null counts as not given.
    """
    if not isinstance(document, dict):
        return document
    if spellings.keys().isdisjoint(document):
        return document
    renamed: dict[str, Any] = {key: value for key, value in document.items() if key not in spellings}
    for accepted, documented in spellings.items():
        value = document.get(accepted)
        if value is None:
            continue
        if renamed.get(documented) is None:
            renamed[documented] = value
        elif not _same(renamed[documented], value):
            raise ValueError(f"'{documented}' and '{accepted}' mean the same and differ; send one of them")
    return renamed


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)  # type: ignore[arg-type]
    return one == other
