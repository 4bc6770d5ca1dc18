"""The catalog's tables, as SQLAlchemy models, and their translation to and from the core vocabulary."""

from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, ForeignKey, Index, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from vectoray.core.model import Collection, IndexOptions, Metric


class CollectionState(StrEnum):
    """Where a collection is in its life. Only an active one is visible.

    The shards of a collection are made after its row and removed before it, so a process that dies between
    the two leaves a row that says what remains to be done, and never shards that nobody knows of.
    """

    CREATING = "creating"
    ACTIVE = "active"
    DROPPING = "dropping"


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware and in UTC in Python, on databases that keep no time zone as well."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC; a naive time is a mistake of ours."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A time without a time zone cannot be stored.")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Name the time zone where the database forgot it."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The catalog's metadata; migrations are checked against it."""


class CollectionRow(Base):
    """One collection.

    The name of a collection that is being dropped is free again at once: uniqueness leaves those rows out.
    """

    __tablename__ = "collections"
    __table_args__ = (
        Index(
            "uq_collections_owner_name",
            "owner",
            "name",
            unique=True,
            sqlite_where=text("state != 'dropping'"),
            postgresql_where=text("state != 'dropping'"),
        ),
        Index("uq_collections_project_id", "project_id", unique=True),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    owner: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(Text)
    dimension: Mapped[int]
    metric: Mapped[str] = mapped_column(String(32))
    index_options: Mapped[dict[str, Any]] = mapped_column(JSON)
    hosts: Mapped[list[int]] = mapped_column(JSON)
    embedding_model: Mapped[str | None] = mapped_column(String(255))
    config: Mapped[str | None] = mapped_column(Text)
    project_id: Mapped[str | None] = mapped_column(String(36), ForeignKey("projects.id"))
    state: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, collection: Collection, state: CollectionState) -> "CollectionRow":
        """The row of a collection in a state."""
        return cls(
            id=collection.id,
            name=collection.name,
            owner=collection.owner,
            description=collection.description,
            dimension=collection.dimension,
            metric=collection.metric.value,
            index_options=asdict(collection.index),
            hosts=list(collection.hosts),
            embedding_model=collection.embedding_model,
            config=None if collection.config is None else collection.config.decode(),
            project_id=collection.project_id,
            state=state.value,
            created_at=collection.created_at,
            updated_at=collection.updated_at,
        )

    def to_collection(self) -> Collection:
        """The collection of this row."""
        return Collection(
            id=self.id,
            name=self.name,
            owner=self.owner,
            description=self.description,
            dimension=self.dimension,
            metric=Metric(self.metric),
            index=IndexOptions.of(self.index_options),
            hosts=tuple(self.hosts),
            embedding_model=self.embedding_model,
            config=None if self.config is None else self.config.encode(),
            project_id=self.project_id,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class OutboxRow(Base):
    """Something that happened to a collection and is yet to be put into the event log."""

    __tablename__ = "event_outbox"
    # A number is not given out twice: whoever removes a row must not remove a later one.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    type: Mapped[str | None] = mapped_column(String(64))
    ts_ms: Mapped[int] = mapped_column(BigInteger)
    collection_id: Mapped[str] = mapped_column(String(36))
    collection: Mapped[str] = mapped_column(String(255))
    owner: Mapped[str] = mapped_column(String(255))
    hosts: Mapped[list[int]] = mapped_column(JSON)
    dimension: Mapped[int]
    metric: Mapped[str] = mapped_column(String(32))
