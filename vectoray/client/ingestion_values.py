"""What the client returns about ingestion, read from the JSON the server answers; see `values`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

_RUNNING = frozenset(("pending", "processing"))


@dataclass(frozen=True, slots=True)
class JobInfo:
    """An ingestion job.

    Attributes:
        id: UUID.
        status: ``pending``, ``processing``, ``completed``, ``failed`` or ``cancelled``.
        total_chunks: 0 until the document is cut.
        error: A sentence that says why it failed, or why it does not go on.
        completed_at: When it ended, in whatever way.
    """

    id: str
    collection_id: str
    status: str
    file_name: str
    size_bytes: int
    total_chunks: int
    processed_chunks: int
    failed_chunks: int
    error: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def is_finished(self) -> bool:
        """Whether it changes no more by itself."""
        return self.status not in _RUNNING

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read one job of ``GET /api/ingestion/jobs``."""
        return cls(
            id=str(json["id"]),
            collection_id=str(json["collection_id"]),
            status=str(json["status"]),
            file_name=str(json["file_name"]),
            size_bytes=int(json["file_size"]),
            total_chunks=int(json["total_chunks"]),
            processed_chunks=int(json["processed_chunks"]),
            failed_chunks=int(json["failed_chunks"]),
            error=json["error_message"],
            created_at=datetime.fromisoformat(json["created_at"]),
            started_at=_time(json["started_at"]),
            completed_at=_time(json["completed_at"]),
        )


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs, newest first.

    Attributes:
        total: How many there are.
    """

    items: Sequence[JobInfo]
    total: int

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read ``GET /api/ingestion/jobs``."""
        return cls(items=[JobInfo.from_json(item) for item in json["items"]], total=int(json["total"]))


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """Whether something happened that must happen for a document to be found.

    Attributes:
        name: ``listed``, ``fetched``, ``parsed``, ``embedded``, ``stored``, ``searchable`` or ``found``.
        answer: ``yes``, ``no`` or ``unknown``.
        reason: A sentence for people.
        at: When it happened, where somebody knows.
    """

    name: str
    answer: str
    reason: str
    at: datetime | None

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read a step of an explained document."""
        return cls(str(json["step"]), str(json["answer"]), str(json["reason"]), _time(json["at"]))


@dataclass(frozen=True, slots=True)
class ExplainedShard:
    """The chunks of a document that one shard has, and the last write to them."""

    shard: int
    chunks: int
    newest_sequence: int
    updated_at: datetime

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read a shard of an explained document."""
        return cls(
            shard=int(json["shard"]),
            chunks=int(json["chunks"]),
            newest_sequence=int(json["newest_sequence"]),
            updated_at=datetime.fromisoformat(json["updated_at"]),
        )


@dataclass(frozen=True, slots=True)
class ExplainedDocument:
    """How far a document came.

    Attributes:
        job_id: None of what no job ingested.
        status: Of the job.
        tries: How often somebody began with it; 0 where nobody counts.
        worker: The ingestor that has it now.
        chunks: In the document; None where that is not known.
        steps: In the order in which they happen.
    """

    source: str
    job_id: str | None
    status: str | None
    tries: int
    worker: str | None
    chunks: int | None
    steps: Sequence[ExplainedStep]
    shards: Sequence[ExplainedShard]

    @property
    def is_found(self) -> bool:
        """Whether every step was done."""
        return all(step.answer == "yes" for step in self.steps)

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> Self:
        """Read a document of ``GET /api/collections/{id}/explain``."""
        return cls(
            source=str(json["source"]),
            job_id=json["job_id"],
            status=json["status"],
            tries=int(json["tries"]),
            worker=json["worker"],
            chunks=json["chunks"],
            steps=[ExplainedStep.from_json(step) for step in json["steps"]],
            shards=[ExplainedShard.from_json(shard) for shard in json["shards"]],
        )


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
