"""What the Vectory API sends and receives about vectors. Pydantic models only."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from serve.json_body import Reader
from serve.service.points import NewPoints
from serve.surfaces.vectory.collection_wire import CollectionInfo
from serve.surfaces.vectory.vector_rows import COLUMNS
from serve.wire_types import Vector, WireModel


class NewVectors(WireModel):
    """One vector to insert, or an array of them: all, or none if one is bad."""

    array_reader: ClassVar[Reader | None] = COLUMNS
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    vectors: Annotated[NewPoints, COLUMNS]
    is_array: bool

    @model_validator(mode="before")
    @classmethod
    def _accept_both(cls, document: object) -> dict[str, object]:
        is_array = isinstance(document, list | NewPoints)
        return {"vectors": document if is_array else [document], "is_array": is_array}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """An object, or an array of such."""
        array = _property(core_schema, handler, "vectors")
        return {"description": cls.__doc__, "anyOf": [array["items"], array]}


class VectorIds(WireModel):
    """Ids, as a bare array or as ``{"ids": [...]}``."""

    ids: list[str]

    @model_validator(mode="before")
    @classmethod
    def _accept_both(cls, document: object) -> object:
        return {"ids": document} if isinstance(document, list) else document

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """An array, or an object that has it."""
        array = _property(core_schema, handler, "ids")
        return {
            "description": "Ids.",
            "anyOf": [array, {"type": "object", "properties": {"ids": array}, "required": ["ids"]}],
        }


class SourceMetadata(WireModel):
    """Metadata to merge: the body is the object itself, or ``{"metadata": {...}}``."""

    metadata: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _accept_both(cls, document: object) -> object:
        is_wrapped = (
            isinstance(document, Mapping)
            and document.keys() == {"metadata"}
            and isinstance(document["metadata"], Mapping)
        )
        return document if is_wrapped else {"metadata": document}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core_schema: CoreSchema, _: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Any object."""
        return {"type": "object", "additionalProperties": True, "description": cls.__doc__}


class UpdateVector(WireModel):
    """What to change of a vector. What is left out, or null, stays."""

    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    vector: Vector | None = None
    metadata: Annotated[dict[str, Any] | None, Field(description="All of it: what was there is gone.")] = None
    text_content: str | None = None


class VectorCreated(BaseModel):
    """A vector that was inserted."""

    id: str
    status: Literal["created"] = "created"


class VectorItem(BaseModel):
    """A vector without its numbers. The time is UTC."""

    id: str
    collection_id: str
    metadata: dict[str, Any]
    text_content: str | None
    source_file: str | None
    chunk_index: int | None
    created_at: datetime


class StoredVector(VectorItem):
    """A vector."""

    vector: Vector


class VectorPage(BaseModel):
    """Some vectors, and how many there are."""

    items: list[VectorItem]
    total: int


class CollectionExport(CollectionInfo):
    """A collection and all its vectors."""

    vectors: list[StoredVector]


class VectorsDeleted(BaseModel):
    """How many there were."""

    deleted: int


class SourceDeleted(VectorsDeleted):
    """How many vectors of a document there were."""

    collection_id: str
    source_file: str


class SourceUpdated(BaseModel):
    """How many vectors of a document were changed."""

    updated: int
    collection_id: str
    source_file: str


def _property(core_schema: CoreSchema, handler: GetJsonSchemaHandler, name: str) -> JsonSchemaValue:
    schema: JsonSchemaValue = handler.resolve_ref_schema(handler(core_schema))["properties"][name]
    return schema
