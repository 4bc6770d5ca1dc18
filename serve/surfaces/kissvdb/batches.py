"""Batches that are read item by item: what is wrong with one item is said of it alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, ValidationError, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from serve.payload_field import Payload
from serve.point_columns import RowsOf, as_matrix
from serve.service.points import NewPoints
from serve.surface import describe_faults
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import EMPTY_PAYLOAD

T = TypeVar("T")

# To tell of each item takes a hundred times its memory.
_MOST_FAULTS = 10_000


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """A batch as it was sent.

    Attributes:
        good: The items that could be read, in order.
        ids: What each item says its id is; None where that is no string.
        faults: Number of an item that could not be read, and why.
    """

    good: T
    ids: Sequence[str | None]
    faults: dict[int, InvalidRequest]


@dataclass(frozen=True, slots=True)
class ItemsField:
    """Annotates a `Batch` of `NewPoints`. In OpenAPI it is a list of ``rows.row``.

    Attributes:
        rows: How items are written; those of the simple form are read all together.
    """

    rows: RowsOf

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What was read already passes as it is; of a list, each item is read by itself."""
        items = core_schema.list_schema(handler.generate_schema(self.rows.row), strict=True, fail_fast=True)
        return core_schema.no_info_wrap_validator_function(self._validate, items)

    def __call__(self, value: Any) -> tuple[NewPoints, int]:
        """Read a JSON list of items; a `serve.json_body.Reader`."""
        return self.rows(value)

    def _validate(self, value: Any, refuse: ValidatorFunctionWrapHandler) -> Batch[NewPoints]:
        if isinstance(value, NewPoints):
            return Batch(replace(value, where=""), value.ids, {})
        if not isinstance(value, list):
            refuse(value)
        good: list[Any] = []
        faults: dict[int, InvalidRequest] = {}
        for at, item in enumerate(value):
            try:
                good.append(self.rows.row.model_validate(item, from_attributes=True))
            except InvalidRequest as error:
                faults[at] = error
            except ValidationError as error:
                faults[at] = _as_ours(error)
            _check_faults(faults)
        return Batch(_columns(good), [_id_of(item) for item in value], faults)


class IdsField:
    """Annotates a `Batch` of ids. In OpenAPI it is a list of strings."""

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Of a list, each id is read by itself."""
        ids = core_schema.list_schema(core_schema.str_schema(strict=True), strict=True, fail_fast=True)
        return core_schema.no_info_wrap_validator_function(self._validate, ids)

    def _validate(self, value: Any, refuse: ValidatorFunctionWrapHandler) -> Batch[list[str]]:
        if not isinstance(value, list):
            refuse(value)
        faults: dict[int, InvalidRequest] = {}
        for at, point_id in enumerate(value):
            if not isinstance(point_id, str):
                faults[at] = InvalidRequest("An id must be a string.")
                _check_faults(faults)
        told = [point_id if isinstance(point_id, str) else None for point_id in value]
        return Batch([point_id for point_id in told if point_id is not None], told, faults)


def _columns(items: Sequence[Any]) -> NewPoints:
    payloads = [item.meta or Payload(EMPTY_PAYLOAD, None) for item in items]
    return NewPoints(
        ids=[item.id for item in items],
        vectors=as_matrix([item.vector for item in items]),
        payloads=[payload.document for payload in payloads],
        texts=[payload.text for payload in payloads],
        where="",
    )


def _id_of(item: Any) -> str | None:
    point_id = item.get("id") if isinstance(item, dict) else None
    return point_id if isinstance(point_id, str) else None


def _as_ours(error: ValidationError) -> InvalidRequest:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    return describe_faults([{**fault, "loc": ("body", *fault["loc"])} for fault in faults])


def _check_faults(faults: dict[int, InvalidRequest]) -> None:
    if len(faults) > _MOST_FAULTS:
        first = faults[min(faults)].message
        raise InvalidRequest(f"More than {_MOST_FAULTS} items cannot be read; of the first: {first}")
