"""Points of an insert, from rows on the wire to columns, with little done for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import simdjson
from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from serve.json_body import NotPlain, keys_of, to_float32
from serve.service.points import NewPoints
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import EMPTY_PAYLOAD, FloatMatrix, FloatVector

# Deeper objects can be read but not written again.
_MAX_PAYLOAD_DEPTH = 250


@dataclass(frozen=True, slots=True)
class RowsOf:
    """Annotates a `NewPoints` field: how its rows are written. In OpenAPI it is a list of ``row``.

    Attributes:
        row: The wire model of a row; it validates what is not of the simple form.
        vector: Keys of the vector, the documented one first.
        payload: Keys of the payload, the documented one first.
        text: Keys of the payload that hold the text, in order of preference.
    """

    row: type[Any]
    vector: tuple[str, ...]
    payload: tuple[str, ...]
    text: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Columns pass as they are; anything else is a list of rows, read up to the first bad one.

        All that is wrong in a body of wrong rows would take many times the body's memory to tell.
        """
        rows = core_schema.list_schema(handler.generate_schema(self.row), strict=True, fail_fast=True)
        return core_schema.no_info_wrap_validator_function(self._validate, rows)

    def __call__(self, rows: Any) -> tuple[NewPoints, int]:
        """Read a JSON list of rows; a `serve.json_body.Reader`."""
        if type(rows) is not simdjson.Array:
            raise NotPlain
        ids: list[str] = []
        vectors: list[FloatVector] = []
        payloads: list[bytes] = []
        texts: list[str | None] = []
        brackets = 1
        # A double beyond float32 becomes infinite here; the service refuses it and names the element.
        with np.errstate(over="ignore"):
            for row in rows:
                point_id, vector, payload = self._fields(row)
                if type(point_id) is not str:
                    raise NotPlain
                document, text = self.payload_of(payload)
                brackets += 1 + document.count(b"[") + point_id.count("[")
                ids.append(point_id)
                vectors.append(to_float32(vector))
                payloads.append(document)
                texts.append(text)
        return NewPoints(ids, as_matrix(vectors), payloads, texts), brackets

    def payload_of(self, payload: Any) -> tuple[bytes, str | None]:
        """As `read_payload`."""
        return read_payload(payload, self.text)

    def _fields(self, row: Any) -> tuple[Any, Any, Any]:
        """The id, vector and payload of a row that has each under one of its keys."""
        point_id = vector = payload = None
        for key in keys_of(row):
            if key == "id":
                point_id = row[key]
            elif key in self.vector:
                if vector is not None:
                    raise NotPlain
                vector = row[key]
            elif key in self.payload:
                if payload is not None:
                    raise NotPlain
                payload = row[key]
        return point_id, vector, payload

    def _validate(self, value: Any, validate_rows: ValidatorFunctionWrapHandler) -> NewPoints:
        if isinstance(value, NewPoints):
            return value
        rows = validate_rows(value)
        payloads = [getattr(row, self.payload[0]) for row in rows]
        return NewPoints(
            ids=[row.id for row in rows],
            vectors=as_matrix([getattr(row, self.vector[0]) for row in rows]),
            payloads=[
                encode_object(payload, where=f"vectors[{at}].{self.payload[0]}") if payload else EMPTY_PAYLOAD
                for at, payload in enumerate(payloads)
            ],
            texts=[text_of(payload or {}, self.text) for payload in payloads],
        )


def read_payload(payload: Any, text_keys: Sequence[str]) -> tuple[bytes, str | None]:
    """The bytes to store of an object as simdjson has it, or of None, and the text in it.

    Raises:
        NotPlain: It is no object, has a key twice, or is nested more deeply than can be written again.
    """
    if payload is None:
        return EMPTY_PAYLOAD, None
    keys = keys_of(payload)
    minified: Any = payload.mini
    document: bytes = minified
    # An object in it may have a key twice; few have as many brackets as may be nested in each other.
    if document.count(b"{") > 1 or document.count(b"[") > _MAX_PAYLOAD_DEPTH:
        document = _written_again(document)
    # simdjson raises an exception within for each key that is not there.
    return document, text_of({key: payload[key] for key in text_keys if key in keys}, text_keys)


def as_matrix(vectors: Sequence[FloatVector]) -> FloatMatrix | Sequence[FloatVector]:
    """The rows as one matrix, if they are of one length."""
    if not vectors or len({vector.shape for vector in vectors}) > 1:
        return vectors
    return np.stack(vectors)


def text_of(payload: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """What full-text search sees of a payload: the first of ``keys`` that holds a string."""
    texts = (payload.get(key) for key in keys)
    return next((text for text in texts if isinstance(text, str)), None)


def encode_object(document: dict[str, Any], *, where: str) -> bytes:
    """A decoded JSON object as the bytes to store.

    Raises:
        InvalidRequest: It is nested more deeply than can be written again.
    """
    try:
        return orjson.dumps(document)
    except TypeError:
        raise InvalidRequest(f"{where} is nested too deeply.", {"at": where}) from None


def _written_again(document: bytes) -> bytes:
    try:
        return orjson.dumps(orjson.loads(document))
    except (TypeError, ValueError):
        raise NotPlain from None
