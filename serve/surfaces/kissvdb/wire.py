"""What the kiss-vdb API sends and receives. Pydantic models only."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from serve.json_body import Reader, read_vector
from serve.payload_field import Payload, PayloadField
from serve.point_columns import RowsOf
from serve.service.points import NewPoints
from serve.surfaces.kissvdb.batches import Batch, IdsField, ItemsField
from serve.wire_types import Vector, WireModel

TEXT_KEYS = ("content", "text")
META = PayloadField("meta", TEXT_KEYS)


class CreateCollection(WireModel):
    """A collection to create."""

    dim: Annotated[int, Field(ge=1, description="Length of every vector.")]
    metric: Literal["cosine", "dot"]


class Item(WireModel):
    """A vector to write."""

    readers: ClassVar[Mapping[str, Reader]] = {"vector": read_vector, "meta": META}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    id: Annotated[str, Field(description="1 to 512 bytes.")]
    vector: Vector
    meta: Annotated[Payload, META] | None = None


class Update(WireModel):
    """What becomes of a vector; what is not given stays as it is."""

    readers: ClassVar[Mapping[str, Reader]] = {"vector": read_vector, "meta": META}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    id: str
    vector: Vector | None = None
    meta: Annotated[Annotated[Payload, META] | None, Field(description="The whole of it.")] = None

    @model_validator(mode="after")
    def _changes_something(self) -> "Update":
        if self.vector is None and self.meta is None:
            raise ValueError("send 'vector', 'meta' or both")
        return self


ITEMS = ItemsField(RowsOf(Item, vector=("vector",), payload=("meta",), text=TEXT_KEYS))


class UpsertBatch(WireModel):
    """Vectors to write, each by itself."""

    readers: ClassVar[Mapping[str, Reader]] = {"items": ITEMS}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    items: Annotated[Batch[NewPoints], ITEMS]


class Delete(WireModel):
    """A vector to delete."""

    id: str


class DeleteBatch(WireModel):
    """Vectors to delete, each by itself."""

    ids: Annotated[Batch[list[str]], IdsField()]


class Search(WireModel):
    """A question."""

    readers: ClassVar[Mapping[str, Reader]] = {"vector": read_vector}
    binary_keys: ClassVar[frozenset[str]] = frozenset(("vector",))

    vector: Vector
    k: Annotated[int, Field(ge=1, le=1000, description="Most hits.")]
    filters: Annotated[
        dict[str, Any] | None,
        Field(
            description="Only vectors whose meta has exactly these values: strings, numbers, booleans, null."
        ),
    ] = None
    include_meta: Annotated[bool | None, Field(description="Whether hits carry their meta.")] = None


class HealthInfo(BaseModel):
    """How the server is, and what the caller has."""

    status: Annotated[
        Literal["ok", "degraded"],
        Field(description="degraded: a shard of some collection does not answer; the others work."),
    ]
    version: str
    uptime_s: int
    collections: int
    vectors: int


class CollectionCreated(BaseModel):
    """A new collection."""

    collection: str
    dim: int
    metric: Literal["cosine", "dot"]


class CollectionInfo(BaseModel):
    """A collection. Times are Unix times in milliseconds."""

    collection: str
    dim: int
    metric: Annotated[
        Literal["cosine", "dot", "euclidean"],
        Field(description="euclidean: the collection was created through another API."),
    ]
    count: Annotated[int, Field(description="Vectors that are there.")]
    created_at_ms: int
    updated_at_ms: int


class CollectionRow(BaseModel):
    """A collection in a list. Counts are null while a shard of it does not answer."""

    collection: str
    dim: int
    metric: Literal["cosine", "dot", "euclidean"]
    live_count: Annotated[int | None, Field(description="Vectors that are there.")]
    total_records: Annotated[
        int | None,
        Field(
            description="Records kept: vectors that are there, and replaced or deleted ones not merged away."
        ),
    ]
    upsert_count: Annotated[
        int | None, Field(description="Vectors written and deleted since the collection was created.")
    ]
    file_len: Annotated[
        int | None, Field(description="Bytes of the segments; what was written last is in none yet.")
    ]
    applied_offset: Annotated[
        int | None, Field(description="Changes of the collection so far, its creation being the first.")
    ]
    created_at_ms: int
    updated_at_ms: int


class CollectionList(BaseModel):
    """The caller's collections, oldest first."""

    collections: list[CollectionRow]


class Done(BaseModel):
    """It is done, and on the disk."""

    ok: Literal[True] = True


class Deleted(BaseModel):
    """It is deleted, on the disk too."""

    deleted: Literal[True] = True


class ErrorBody(BaseModel):
    """Every error under this family's paths."""

    error: Annotated[str, Field(description="What was wrong, for programs.")]
    message: Annotated[str, Field(description="What was wrong, for people.")]


class ItemResult(BaseModel):
    """What became of an item."""

    status: Literal["upserted", "deleted", "error"]
    id: Annotated[str | None, Field(description="null when the item has none.")]
    error: Annotated[ErrorBody | None, Field(description="Only of status 'error'.")] = None


class BatchResults(BaseModel):
    """What became of each item, in order."""

    results: list[ItemResult]


class StoredVector(BaseModel):
    """A vector as it is stored."""

    id: str
    vector: Vector
    meta: dict[str, Any]


class Hit(BaseModel):
    """A vector and how well it answers: higher is better."""

    id: str
    score: float
    meta: Annotated[dict[str, Any] | None, Field(description="Absent unless asked for.")] = None


class Hits(BaseModel):
    """Hits, best first, ties broken by id."""

    hits: list[Hit]
