"""What the Web Content API sends and receives. Pydantic models only."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from serve.wire_types import Vector, WireModel

StatusName = Literal["pending", "crawling", "encoding", "stored", "failed"]


def time_text(time: datetime) -> str:
    """A time as this family writes it: RFC 3339 in UTC, with milliseconds and ``Z``."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[
    datetime, PlainSerializer(time_text), WithJsonSchema({"type": "string", "format": "date-time"})
]


class Registration(WireModel):
    """An account to make."""

    email: str
    password: Annotated[str, Field(description="8 to 1,024 characters.", repr=False)]


class Login(WireModel):
    """Who wants to log in."""

    email: str
    password: Annotated[str, Field(repr=False)]


class ProviderToken(WireModel):
    """Who signs in with another provider."""

    token: Annotated[str, Field(repr=False, description="The ID token that the provider gave.")]


class AccessToken(BaseModel):
    """What to call with."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  (no secret)


class UserInfo(BaseModel):
    """A user."""

    user_id: str
    email: str
    created_at: Time


class ProjectName(WireModel):
    """What a project is to be called."""

    project_name: Annotated[str, Field(description="1 to 255 characters.")]


class ProjectInfo(BaseModel):
    """A project."""

    project_id: str
    user_id: str
    project_name: str
    created_at: Time


class SubmitUrl(WireModel):
    """A URL to fetch."""

    original_url: Annotated[str, Field(description="http or https, of at most 2,048 characters.")]


class SubmitUrls(WireModel):
    """URLs to fetch."""

    urls: list[str]


class UrlInfo(BaseModel):
    """A URL, and how far it has come."""

    url_id: str
    project_id: str
    original_url: str
    status: StatusName
    failure_reason: Annotated[str | None, Field(description="A sentence, where the status is failed.")]
    submitted_at: Time
    last_updated_at: Time


class DuplicateUrl(BaseModel):
    """A URL that the project had already."""

    message: str
    existing_url: UrlInfo


class SubmittedUrls(BaseModel):
    """What became of URLs that were submitted together."""

    submitted_urls: list[UrlInfo]
    duplicate_urls: Annotated[
        list[UrlInfo],
        Field(description="Those that the project had already, and those that were sent more than once."),
    ]


class ChunkInfo(BaseModel):
    """A piece of a page."""

    chunk_id: str
    url_id: str
    project_id: str
    content: str
    chunk_index: int
    created_at: Time
    embedding: Annotated[Vector | None, Field(description="Absent unless asked for.")] = None


class CreateShare(WireModel):
    """With whom to share a project. Unknown keys are refused: a misspelt one would make a token."""

    model_config = ConfigDict(extra="forbid")

    shared_with_user_id: Annotated[
        str | None, Field(description="null, or left out: whoever has the token that is made.")
    ] = None


class ShareInfo(BaseModel):
    """Who may read a project."""

    name: Annotated[str, Field(description="projects/{project_id}/shares/{share_id}")]
    project_id: str
    shared_with_user_id: str | None
    share_token: Annotated[str | None, Field(repr=False)]
    created_at: Time


class ShareList(BaseModel):
    """A project's shares."""

    shares: list[ShareInfo]


class OpenedProject(BaseModel):
    """A project that a share token opens."""

    name: Annotated[str, Field(description="projects/{project_id}")]
    project_name: str
    created_at: Time


class SharedProjectInfo(BaseModel):
    """A project that somebody shared with the caller."""

    name: Annotated[str, Field(description="projects/{project_id}")]
    project_name: str
    owner_email: str
    shared_at: Time


class SharedProjectList(BaseModel):
    """Projects that others shared with the caller."""

    shared_projects: list[SharedProjectInfo]


class Query(WireModel):
    """A question."""

    query: str
    project_ids: Annotated[
        list[str] | None,
        Field(
            min_length=1,
            max_length=100,
            description="Where to look; left out: every project that the caller may read.",
        ),
    ] = None
    top_k: Annotated[int, Field(ge=1, le=100, description="Most results, over all projects.")] = 5


class QueryResult(BaseModel):
    """A chunk, and how well it answers."""

    content: str
    url: Annotated[str, Field(description="As it was submitted.")]
    chunk_id: str
    project_id: str
    similarity_score: Annotated[float, Field(description="Cosine; higher is better.")]


class QueryResults(BaseModel):
    """Results, best first, ties broken by chunk_id."""

    results: list[QueryResult]


class ModelInfo(BaseModel):
    """What texts are embedded with."""

    model_name: str
    embedding_size: int
    max_sequence_length: Annotated[int, Field(description="Tokens.")]
    chunking_strategy: Literal["text_splitting"]
    chunk_size: Annotated[int, Field(description="Characters.")]
    chunk_overlap: Annotated[int, Field(description="Characters.")]
    configuration: dict[str, Any]
    version: str


class ProcessingQueue(BaseModel):
    """URLs of all projects that are not finished."""

    pending_urls: int
    crawling_urls: int
    encoding_urls: int


class SystemLoad(BaseModel):
    """Shares in use, in percent."""

    cpu_usage: int
    memory_usage: int
    disk_usage: int


class SystemStatus(BaseModel):
    """How the server is."""

    status: Annotated[
        Literal["healthy", "degraded"],
        Field(description="degraded: the embedding model does not answer, or nobody is there to fetch URLs."),
    ]
    processing_queue: ProcessingQueue
    system_load: SystemLoad
    embedding_model_status: Literal["operational", "unavailable"]


class ErrorBody(BaseModel):
    """Every error under this family's paths, but for a URL that was submitted already."""

    detail: Annotated[str, Field(description="What was wrong, for people.")]
