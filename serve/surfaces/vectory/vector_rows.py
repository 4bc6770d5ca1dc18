"""Vectors to insert, from rows on the wire to columns, in the thread that reads the body."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any
from uuid import uuid4

import numpy as np
from pydantic import Field, GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from serve.json_body import NotPlain, keys_of, to_float32
from serve.point_columns import RowsOf, as_matrix, encode_object
from serve.service.points import NewPoints
from serve.wire_types import Vector, WireModel
from vectoray.core.model import EMPTY_PAYLOAD


class NewVector(WireModel):
    """A vector to insert."""

    id: Annotated[str | None, Field(description="1 to 512 bytes; left out, a UUID is made.")] = None
    vector: Vector
    metadata: dict[str, Any] | None = None
    text_content: Annotated[str | None, Field(description="What searches by words see.")] = None
    source_file: Annotated[str | None, Field(description="The document it came from.")] = None
    chunk_index: Annotated[int | None, Field(description="Which chunk of it, from 0.")] = None


_TEXTS = ("id", "text_content", "source_file")
_TEXT_TYPES = {str, NoneType}
_INDEX_TYPES = {int, NoneType}
_PAYLOAD = RowsOf(NewVector, vector=("vector",), payload=("metadata",), text=())


@dataclass(frozen=True, slots=True)
class Columns:
    """Annotates a `NewPoints` field that is a list of `NewVector` on the wire."""

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Columns pass as they are; anything else is a list of rows, read up to the first bad one.

        All that is wrong in a body of wrong rows would take many times the body's memory to tell.
        """
        rows = core_schema.list_schema(handler.generate_schema(NewVector), strict=True, fail_fast=True)
        return core_schema.no_info_wrap_validator_function(self._validate, rows)

    def __call__(self, rows: Any) -> tuple[NewPoints, int]:
        """Read a JSON array of rows; a `serve.json_body.Reader`."""
        read: list[NewVector] = []
        payloads: list[bytes] = []
        brackets = 1
        # A double beyond float32 becomes infinite here; the service refuses it and names the element.
        with np.errstate(over="ignore"):
            for row in rows:
                values = {key: row[key] for key in keys_of(row) if key in NewVector.model_fields}
                payload, _ = _PAYLOAD.payload_of(values.pop("metadata", None))
                values["vector"] = to_float32(values.get("vector"))
                texts = [values.get(key) for key in _TEXTS]
                if not _TEXT_TYPES.issuperset(map(type, texts)):
                    raise NotPlain
                if type(values.get("chunk_index")) not in _INDEX_TYPES:
                    raise NotPlain
                brackets += 1 + payload.count(b"[") + sum(text.count("[") for text in texts if text)
                # Checked just now, and validating it again would take longer than reading it.
                read.append(NewVector.model_construct(None, **values))
                payloads.append(payload)
        return _columns(read, payloads), brackets

    def _validate(self, value: Any, validate_rows: ValidatorFunctionWrapHandler) -> NewPoints:
        if isinstance(value, NewPoints):
            return value
        rows = validate_rows(value)
        payloads = [
            encode_object(row.metadata, where=f"vectors[{at}].metadata") if row.metadata else EMPTY_PAYLOAD
            for at, row in enumerate(rows)
        ]
        return _columns(rows, payloads)


COLUMNS = Columns()


def _columns(rows: Sequence[NewVector], payloads: Sequence[bytes]) -> NewPoints:
    return NewPoints(
        ids=[str(uuid4()) if row.id is None else row.id for row in rows],
        vectors=as_matrix([row.vector for row in rows]),
        payloads=payloads,
        texts=[row.text_content for row in rows],
        sources=[row.source_file for row in rows],
        chunk_indexes=[row.chunk_index for row in rows],
    )
