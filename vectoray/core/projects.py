"""Projects, the URLs submitted to them, and who else may read them. Knows no page's content."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class UrlStatus(StrEnum):
    """How far a URL has come: from one to the next, and to `FAILED` from where it is being worked on.

    A page that turns out to be unchanged is stored without being encoded. Whoever is stopped, or dies, while
    working on one, leaves it to be crawled again. A new attempt makes it pending from wherever it is.
    """

    PENDING = "pending"
    """Waits for somebody to fetch it."""

    CRAWLING = "crawling"
    """Is being fetched."""

    ENCODING = "encoding"
    """Is being cut into chunks and embedded."""

    STORED = "stored"
    """Its chunks can be read and searched."""

    FAILED = "failed"
    """It came to an end without, for a reason that is told."""


FINISHED = frozenset((UrlStatus.STORED, UrlStatus.FAILED))


@dataclass(frozen=True, slots=True)
class Project:
    """A set of URLs that are searched together.

    Attributes:
        id: UUID.
        user: Id of its owner.
        name: For people; a user may give one name to several.
    """

    id: str
    user: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ProjectUrl:
    """A URL in a project.

    Attributes:
        id: UUID.
        project: Id of its project.
        original_url: As it was submitted.
        url: Normalised: what differs in spelling only is equal. A project has each once.
        failure_reason: A sentence for people, of one that failed.
        attempt: Counts how often it was made pending, from 1. Who works on an earlier attempt than this may
            change nothing any more.
        last_updated_at: When its status was last changed.
    """

    id: str
    project: str
    original_url: str
    url: str
    status: UrlStatus
    failure_reason: str | None
    attempt: int
    submitted_at: datetime
    last_updated_at: datetime


@dataclass(frozen=True, slots=True)
class ProjectShare:
    """Who besides its owner may read a project: a user, or whoever has a token.

    Attributes:
        id: UUID.
        project: Id of the project.
        user: Id of that user; None where there is a token.
        token: 192 random bits as text; None where there is a user. In no ``repr`` and so in no log.
    """

    id: str
    project: str
    user: str | None
    token: str | None = field(repr=False)
    created_at: datetime
