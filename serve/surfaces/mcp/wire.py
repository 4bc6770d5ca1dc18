"""What the tools take and give. Pydantic models only: their JSON Schemas are what a language model reads."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from serve.wire_types import WireModel

MetricName = Literal["cosine", "euclidean", "dot_product"]

CollectionAddress = Annotated[
    str,
    Field(
        min_length=1,
        max_length=255,
        description="Name or id (UUID) of the collection, as 'list_collections' gives them.",
    ),
]
ChunkId = Annotated[
    str, Field(min_length=1, max_length=512, description="Id of the chunk, as 'search' gives it.")
]
TopK = Annotated[int, Field(ge=1, le=100, description="Most results.")]


class Arguments(WireModel):
    """Arguments of a tool. What it does not know is refused, for a model that invents one means something."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ListCollections(Arguments):
    """Which collections to list."""

    name: Annotated[
        str | None, Field(max_length=255, description="Only the collection of exactly this name.")
    ] = None
    skip: Annotated[int, Field(ge=0, le=2**31 - 1, description="How many to leave out first.")] = 0
    limit: Annotated[int, Field(ge=1, le=100, description="Most collections.")] = 50


class Search(Arguments):
    """A question to a collection."""

    collection: CollectionAddress
    text: Annotated[
        str,
        Field(
            min_length=1,
            max_length=10_000,
            description="What to look for, in natural language. Meaning counts, not the exact words.",
        ),
    ]
    top_k: TopK = 10
    filters: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=255)], str | int | float | bool | None] | None,
        Field(
            max_length=32,
            description='Only chunks whose metadata have exactly these values, such as {"source": "a.md"}.',
        ),
    ] = None


class ReadChunk(Arguments):
    """Which chunk to read."""

    collection: CollectionAddress
    id: ChunkId
    neighbours: Annotated[
        int,
        Field(
            ge=0,
            le=5,
            description="How many chunks to read before and after it, of the same source.",
        ),
    ] = 0


class CollectionSummary(BaseModel):
    """A collection."""

    id: str
    name: str
    description: str
    vectors: Annotated[int | None, Field(description="How many it holds; null while a part does not answer.")]
    dimension: int
    metric: MetricName
    searchable_by_text: Annotated[bool, Field(description="Whether 'search' works on it.")]
    updated_at: AwareDatetime


class CollectionList(BaseModel):
    """Some collections, oldest first, and how many there are."""

    collections: list[CollectionSummary]
    total: int


class FoundChunk(BaseModel):
    """A chunk that answers the question."""

    id: str
    score: Annotated[float, Field(description="Higher is better; comparable within one collection only.")]
    text: str | None
    source: Annotated[str | None, Field(description="The document it is from, if known.")]
    metadata: Annotated[dict[str, Any], Field(description="Without what is the text.")]


class SearchResults(BaseModel):
    """Chunks, best first."""

    collection: str
    collection_id: str
    results: list[FoundChunk]


class Chunk(BaseModel):
    """A stored chunk."""

    id: str
    text: str | None
    source: Annotated[str | None, Field(description="The document it is from, if known.")]
    chunk_index: Annotated[int | None, Field(description="Its place in the source, from 0, if known.")]
    metadata: Annotated[dict[str, Any], Field(description="Without what is the text.")]


class ReadResult(BaseModel):
    """A chunk, and those around it in the order of the source."""

    chunk: Chunk
    before: list[Chunk]
    after: list[Chunk]


class ErrorBody(BaseModel):
    """An error before a message was understood, or around it."""

    jsonrpc: Literal["2.0"]
    id: None
    error: dict[str, Any]
