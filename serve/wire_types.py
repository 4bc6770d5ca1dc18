"""Types that the wire models of every API family are made of."""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, WithJsonSchema

from vectoray.core.model import FloatVector

_NUMBERS = {int, float}


class WireModel(BaseModel):
    """A JSON object as clients send it: no conversion between types, unknown keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


def _to_vector(value: object) -> FloatVector:
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
"""A JSON list of numbers as float32, shape (d,). Its length and values are for the service to check."""


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
    renamed: dict[str, Any] = {key: value for key, value in document.items() if key not in spellings}
    for accepted, documented in spellings.items():
        value = document.get(accepted)
        if value is None:
            continue
        if renamed.get(documented) is None:
            renamed[documented] = value
        elif renamed[documented] != value:
            raise ValueError(f"'{documented}' and '{accepted}' mean the same and differ; send one of them")
    return renamed
