"""Every error Vectoray raises on purpose, and what a caller can do about it.

VectorayError
  InvalidRequest            the caller sent something that can never work as it is
    InvalidName             a collection name outside the allowed characters
    DimensionMismatch       a vector whose length is not the collection's
    LimitExceeded           a value above a configured limit
      BodyTooLarge          a request body above it
  NotFound
    CollectionNotFound
    PointNotFound
    VersionNotFound         a past version of a table that is not kept
    SnapshotNotFound
    ApiKeyNotFound
    JobNotFound
    UserNotFound
    ProjectNotFound
    UrlNotFound             a URL that was not submitted to the project
    ChunkNotFound           a piece of a page that the project does not hold
    ShareNotFound
  Conflict                  the caller's change contradicts what is there
    CollectionExists
    PointExists
  Unauthenticated           no credential where one is needed, or a wrong one
  PermissionDenied          a good credential that does not allow this
  RateLimited               the caller asks for more than their share (retryable, later)
  Unavailable               try again: the request was fine (retryable)
    ShardUnavailable        a shard did not answer; an answer without it would be incomplete
    ShardLocked             another process owns the shard
    Overloaded              a queue is full
    DeadlineExceeded        the answer did not come in time
    StorageFull             the disk or bucket refused the write
  InternalError             a fault of ours
    CorruptData             stored bytes do not match their checksum

No class here knows HTTP: each API family maps ``code`` to its own status and envelope. Subclasses never
define ``__init__``, so every error crosses processes intact by pickle; ``details`` holds JSON values that a
client may see.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import ClassVar


class ErrorCode(StrEnum):
    """Stable names that API families map to their own status and wire code."""

    INVALID_REQUEST = "invalid_request"
    INVALID_NAME = "invalid_name"
    DIMENSION_MISMATCH = "dimension_mismatch"
    LIMIT_EXCEEDED = "limit_exceeded"
    BODY_TOO_LARGE = "body_too_large"
    COLLECTION_NOT_FOUND = "collection_not_found"
    POINT_NOT_FOUND = "point_not_found"
    VERSION_NOT_FOUND = "version_not_found"
    SNAPSHOT_NOT_FOUND = "snapshot_not_found"
    API_KEY_NOT_FOUND = "api_key_not_found"
    JOB_NOT_FOUND = "job_not_found"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    COLLECTION_EXISTS = "collection_exists"
    POINT_EXISTS = "point_exists"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    SHARD_UNAVAILABLE = "shard_unavailable"
    OVERLOADED = "overloaded"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    STORAGE_FULL = "storage_full"
    INTERNAL = "internal"
    CORRUPT_DATA = "corrupt_data"


class VectorayError(Exception):
    """Base of all errors above.

    Attributes:
        message: One sentence: what was wrong, where, and what to do.
        details: JSON values that make the message machine-readable. Safe to show to a client.
    """

    code: ClassVar[ErrorCode] = ErrorCode.INTERNAL
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, details: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, object] = dict(details or {})


class InvalidRequest(VectorayError):
    """The request can never work as it is."""

    code = ErrorCode.INVALID_REQUEST


class InvalidName(InvalidRequest):
    """A collection name outside the allowed characters."""

    code = ErrorCode.INVALID_NAME


class DimensionMismatch(InvalidRequest):
    """A vector whose length is not the collection's."""

    code = ErrorCode.DIMENSION_MISMATCH

    @classmethod
    def of(cls, *, expected: int, actual: int, where: str) -> "DimensionMismatch":
        """Build the message for a vector found at ``where`` (such as ``vectors[3]``)."""
        return cls(
            f"{where} has {actual} dimensions, the collection has {expected}.",
            {"expected": expected, "actual": actual, "at": where},
        )


class LimitExceeded(InvalidRequest):
    """A value above a configured limit."""

    code = ErrorCode.LIMIT_EXCEEDED


class BodyTooLarge(LimitExceeded):
    """A request body above the configured limit."""

    code = ErrorCode.BODY_TOO_LARGE

    @classmethod
    def of(cls, *, limit_bytes: int) -> "BodyTooLarge":
        """Build the message for a body over ``limit_bytes``."""
        return cls(
            f"The request body is larger than {limit_bytes} bytes; send it in smaller batches.",
            {"limit_bytes": limit_bytes},
        )


class NotFound(VectorayError):
    """What the caller named is not there, or not theirs to see."""


class CollectionNotFound(NotFound):
    """No such collection for this caller."""

    code = ErrorCode.COLLECTION_NOT_FOUND

    @classmethod
    def of(cls, name: str) -> "CollectionNotFound":
        """Build the message for a collection addressed by name or id."""
        return cls(f"Collection '{name}' does not exist.", {"collection": name})


class PointNotFound(NotFound):
    """No such point in the collection."""

    code = ErrorCode.POINT_NOT_FOUND

    @classmethod
    def of(cls, *, collection: str, point_id: str) -> "PointNotFound":
        """Build the message for a point addressed by id."""
        return cls(
            f"Vector '{point_id}' does not exist in collection '{collection}'.",
            {"collection": collection, "vector_id": point_id},
        )


class VersionNotFound(NotFound):
    """A past version of a table that is not there, or no more."""

    code = ErrorCode.VERSION_NOT_FOUND

    @classmethod
    def of(cls, wanted: str, versions: Sequence[tuple[int, str]]) -> "VersionNotFound":
        """Build the message for a version, or a time, and the (version, time) pairs there are."""
        there = ", ".join(f"{version} ({created})" for version, created in versions[-5:]) or "none"
        return cls(
            f"The table has no version {wanted}; there are {len(versions)}, the newest: {there}.",
            {
                "version": wanted,
                "versions": [{"version": version, "created": at} for version, at in versions],
            },
        )


class SnapshotNotFound(NotFound):
    """No complete snapshot lies there."""

    code = ErrorCode.SNAPSHOT_NOT_FOUND


class ApiKeyNotFound(NotFound):
    """No such API key of this caller."""

    code = ErrorCode.API_KEY_NOT_FOUND

    @classmethod
    def of(cls, key_id: str) -> "ApiKeyNotFound":
        """Build the message for a key addressed by id."""
        return cls(f"API key '{key_id[:36]}' does not exist.", {"key_id": key_id[:36]})


class JobNotFound(NotFound):
    """No such ingestion job for this caller."""

    code = ErrorCode.JOB_NOT_FOUND

    @classmethod
    def of(cls, job_id: str) -> "JobNotFound":
        """Build the message for a job addressed by id."""
        return cls(f"Ingestion job '{job_id[:36]}' does not exist.", {"job_id": job_id[:36]})


class UserNotFound(NotFound):
    """No user with this id."""

    code = ErrorCode.NOT_FOUND

    @classmethod
    def of(cls, user_id: str) -> "UserNotFound":
        """Build the message for a user addressed by id."""
        return cls(f"User '{user_id[:36]}' does not exist.", {"user_id": user_id[:36]})


class ProjectNotFound(NotFound):
    """No such project for this caller."""

    code = ErrorCode.NOT_FOUND

    @classmethod
    def of(cls, project_id: str) -> "ProjectNotFound":
        """Build the message for a project addressed by id."""
        return cls(f"Project '{project_id[:36]}' does not exist.", {"project_id": project_id[:36]})


class UrlNotFound(NotFound):
    """No such URL in the project."""

    code = ErrorCode.NOT_FOUND

    @classmethod
    def of(cls, url_id: str) -> "UrlNotFound":
        """Build the message for a URL addressed by id."""
        return cls(f"URL '{url_id[:36]}' does not exist in this project.", {"url_id": url_id[:36]})


class ChunkNotFound(NotFound):
    """No such chunk in the project."""

    code = ErrorCode.NOT_FOUND

    @classmethod
    def of(cls, chunk_id: str) -> "ChunkNotFound":
        """Build the message for a chunk addressed by id."""
        return cls(f"Chunk '{chunk_id[:36]}' does not exist in this project.", {"chunk_id": chunk_id[:36]})


class ShareNotFound(NotFound):
    """No such share of the project."""

    code = ErrorCode.NOT_FOUND

    @classmethod
    def of(cls, share_id: str) -> "ShareNotFound":
        """Build the message for a share addressed by id."""
        return cls(f"Share '{share_id[:36]}' does not exist in this project.", {"share_id": share_id[:36]})


class Conflict(VectorayError):
    """The change contradicts what is there."""

    code = ErrorCode.CONFLICT


class CollectionExists(Conflict):
    """A collection of that name exists already."""

    code = ErrorCode.COLLECTION_EXISTS

    @classmethod
    def of(cls, name: str) -> "CollectionExists":
        """Build the message for a name that is taken."""
        return cls(f"Collection '{name}' already exists.", {"collection": name})


class PointExists(Conflict):
    """A point to insert is there already."""

    code = ErrorCode.POINT_EXISTS

    @classmethod
    def of(cls, *, collection: str, point_id: str) -> "PointExists":
        """Build the message for an id that is taken."""
        return cls(
            f"Vector '{point_id}' already exists in collection '{collection}'.",
            {"collection": collection, "vector_id": point_id},
        )


class Unauthenticated(VectorayError):
    """No credential where one is needed, or a wrong one."""

    code = ErrorCode.UNAUTHENTICATED


class PermissionDenied(VectorayError):
    """A good credential that does not allow this."""

    code = ErrorCode.PERMISSION_DENIED


class RateLimited(VectorayError):
    """The caller asks for more than their share; later it may be answered."""

    code = ErrorCode.RATE_LIMITED
    retryable = True


class Unavailable(VectorayError):
    """The request was fine; the system cannot answer it now."""

    code = ErrorCode.UNAVAILABLE
    retryable = True


class ShardUnavailable(Unavailable):
    """A shard did not answer; an answer without it would be incomplete."""

    code = ErrorCode.SHARD_UNAVAILABLE


class ShardLocked(Unavailable):
    """Another process owns the shard."""

    code = ErrorCode.SHARD_UNAVAILABLE


class Overloaded(Unavailable):
    """A queue is full."""

    code = ErrorCode.OVERLOADED


class DeadlineExceeded(Unavailable):
    """The answer did not come in time."""

    code = ErrorCode.DEADLINE_EXCEEDED


class StorageFull(Unavailable):
    """The disk or bucket refused the write."""

    code = ErrorCode.STORAGE_FULL


class InternalError(VectorayError):
    """A fault of ours."""


class CorruptData(InternalError):
    """Stored bytes do not match their checksum."""

    code = ErrorCode.CORRUPT_DATA
