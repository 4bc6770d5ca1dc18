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
ProjectId = Annotated[
    str, Field(min_length=1, max_length=36, description="Id of the project, as 'list_projects' gives it.")
]
Neighbours = Annotated[
    int, Field(ge=0, le=5, description="How many chunks to read before and after it, of the same source.")
]
Skip = Annotated[int, Field(ge=0, le=2**31 - 1, description="How many to leave out first.")]
TopK = Annotated[int, Field(ge=1, le=100, description="Most results.")]


class Arguments(WireModel):
    """Arguments of a tool. What it does not know is refused, for a model that invents one means something."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ListCollections(Arguments):
    """Which collections to list."""

    name: Annotated[
        str | None, Field(max_length=255, description="Only the collection of exactly this name.")
    ] = None
    skip: Skip = 0
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
    neighbours: Neighbours = 0


class ListProjects(Arguments):
    """Which projects to list."""

    skip: Skip = 0
    limit: Annotated[int, Field(ge=1, le=100, description="Most projects.")] = 50


class SearchProjects(Arguments):
    """A question to several projects."""

    query: Annotated[
        str,
        Field(
            min_length=1,
            max_length=10_000,
            description="What to look for, in natural language. Meaning counts, not the exact words.",
        ),
    ]
    project_ids: Annotated[
        list[ProjectId] | None,
        Field(
            min_length=1,
            max_length=100,
            description="Where to look; left out: every project that 'list_projects' gives.",
        ),
    ] = None
    top_k: TopK = 5


class ReadProjectChunk(Arguments):
    """Which chunk of a project to read."""

    project_id: ProjectId
    chunk_id: Annotated[
        str,
        Field(min_length=1, max_length=36, description="Id of the chunk, as 'search_projects' gives it."),
    ]
    neighbours: Neighbours = 0


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


class ProjectSummary(BaseModel):
    """A project."""

    project_id: str
    project_name: str
    shared: Annotated[
        bool, Field(description="Whether it is somebody else's, who shared it with the caller.")
    ]
    created_at: AwareDatetime


class ProjectList(BaseModel):
    """Some projects, oldest first, and how many there are."""

    projects: list[ProjectSummary]
    total: int


class FoundProjectChunk(BaseModel):
    """A piece of a web page that answers the question."""

    content: str
    url: Annotated[str, Field(description="The page it is from.")]
    chunk_id: str
    project_id: str
    score: Annotated[float, Field(description="Cosine; higher is better.")]


class ProjectSearchResults(BaseModel):
    """Chunks of all projects that were searched, best first."""

    results: list[FoundProjectChunk]


class ProjectChunk(BaseModel):
    """A piece of a web page."""

    chunk_id: str
    content: str
    chunk_index: Annotated[int, Field(description="Its place in the page, from 0.")]


class ProjectReadResult(BaseModel):
    """A piece of a web page, and those around it in the order of the page."""

    project_id: str
    url: Annotated[str, Field(description="The page they are from.")]
    chunk: ProjectChunk
    before: list[ProjectChunk]
    after: list[ProjectChunk]


class ErrorBody(BaseModel):
    """An error before a message was understood, or around it."""

    jsonrpc: Literal["2.0"]
    id: None
    error: dict[str, Any]
