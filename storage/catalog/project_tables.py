"""The tables of projects, as SQLAlchemy models, and their translation to and from the core vocabulary.

Whether a project is there, its collection says: it has exactly one, and is visible while that is active.
"""

import hashlib
from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables import Base, UtcDateTime
from storage.catalog.work_tables import AT_ONCE, Leased, queue_indexes
from vectoray.core.projects import FINISHED, Project, ProjectShare, ProjectUrl, UrlStatus

_HAS_TOKEN = text("token IS NOT NULL")


class ProjectRow(Base):
    """One project. Its URLs and shares go with it."""

    __tablename__ = "projects"
    __table_args__ = (Index("ix_projects_user_id", "user_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(36), ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, project: Project) -> "ProjectRow":
        """The row of a project."""
        return cls(id=project.id, user_id=project.user, name=project.name, created_at=project.created_at)

    def to_project(self) -> Project:
        """The project of this row."""
        return Project(id=self.id, user=self.user_id, name=self.name, created_at=self.created_at)


class ProjectUrlRow(Leased, Base):
    """One URL of a project, which has each normalised URL once. It is due until it is finished."""

    __tablename__ = "project_urls"
    __table_args__ = (
        Index("uq_project_urls_project_id_url", "project_id", "url", unique=True),
        Index("ix_project_urls_status", "status"),
        *queue_indexes("project_urls", "project_id", "submitted_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(36), ForeignKey("projects.id", ondelete="CASCADE"))
    original_url: Mapped[str] = mapped_column(Text)
    url: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    failure_reason: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int]
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, url: ProjectUrl) -> "ProjectUrlRow":
        """The row of a URL."""
        return cls(
            id=url.id,
            project_id=url.project,
            original_url=url.original_url,
            url=url.url,
            status=url.status.value,
            failure_reason=url.failure_reason,
            attempt=url.attempt,
            submitted_at=url.submitted_at,
            last_updated_at=url.last_updated_at,
            due_at=None if url.status in FINISHED else AT_ONCE,
        )

    def begin_attempt(self, now: datetime) -> None:
        """Make it pending again, out of the hands of whoever works on it."""
        self.end_lease(goes_on=True)
        self.tries = 0
        self.status = UrlStatus.PENDING.value
        self.failure_reason = None
        self.attempt += 1
        self.last_updated_at = now

    def to_url(self) -> ProjectUrl:
        """The URL of this row."""
        return ProjectUrl(
            id=self.id,
            project=self.project_id,
            original_url=self.original_url,
            url=self.url,
            status=UrlStatus(self.status),
            failure_reason=self.failure_reason,
            attempt=self.attempt,
            submitted_at=self.submitted_at,
            last_updated_at=self.last_updated_at,
        )


class ProjectShareRow(Base):
    """One share: a project has one for each user at most, and one token at most.

    The token is kept because its project's owner may see it again. It is looked up by its hash, so that how
    long that takes tells nothing of it.
    """

    __tablename__ = "project_shares"
    __table_args__ = (
        Index("uq_project_shares_project_id_user_id", "project_id", "user_id", unique=True),
        Index(
            "uq_project_shares_token_of_project",
            "project_id",
            unique=True,
            sqlite_where=_HAS_TOKEN,
            postgresql_where=_HAS_TOKEN,
        ),
        Index("uq_project_shares_token_hash", "token_hash", unique=True),
        Index("ix_project_shares_user_id", "user_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(36), ForeignKey("projects.id", ondelete="CASCADE"))
    user_id: Mapped[str | None] = mapped_column(String(36), ForeignKey("users.id"))
    token: Mapped[str | None] = mapped_column(Text)
    token_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)

    @classmethod
    def of(cls, share: ProjectShare) -> "ProjectShareRow":
        """The row of a share."""
        return cls(
            id=share.id,
            project_id=share.project,
            user_id=share.user,
            token=share.token,
            token_hash=None if share.token is None else hash_of_token(share.token),
            created_at=share.created_at,
        )

    def to_share(self) -> ProjectShare:
        """The share of this row."""
        return ProjectShare(
            id=self.id,
            project=self.project_id,
            user=self.user_id,
            token=self.token,
            created_at=self.created_at,
        )


def hash_of_token(token: str) -> bytes:
    """The SHA-256 by which a share token is looked up, whatever characters it has."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
