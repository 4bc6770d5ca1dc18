"""URLs of projects as those see them who fetch them: taken under a lease, and moved from status to status.

A lease is a UUID that is new each time. Every change asks for it, so whoever lost it, however late they come
back, changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from storage.catalog.catalog import ACTIVE
from storage.catalog.database import Database
from storage.catalog.documents import begin_document, document_row
from storage.catalog.project_tables import ProjectUrlRow
from storage.catalog.tables import CollectionRow
from storage.catalog.work_queue import MOST_TRIES, Due, WorkQueue
from storage.catalog.work_tables import DocumentRow
from vectoray.core.ingestion import Document, DocumentState
from vectoray.core.model import Collection
from vectoray.core.projects import FINISHED, ProjectUrl, UrlStatus

# Asked of each row: as a list of projects, SQLite would begin with that, and read all URLs that ever were.
_IN_ACTIVE = (
    exists().where(CollectionRow.project_id == ProjectUrlRow.project_id, ACTIVE).correlate(ProjectUrlRow)
)
_QUEUE = WorkQueue(
    "urls", ProjectUrlRow, ProjectUrlRow.id, ProjectUrlRow.project_id, ProjectUrlRow.submitted_at, _IN_ACTIVE
)
_KILLED = f"The server's process ended {MOST_TRIES} times while working on this page, so it was given up."


@dataclass(frozen=True, slots=True)
class UrlClaim:
    """A URL in somebody's hands.

    Attributes:
        url: As it was when it was taken.
        collection: Where its chunks belong.
        lease: Who has it may change the URL.
        document: What the ledger said of the page before.
    """

    url: ProjectUrl
    collection: Collection
    lease: str
    document: Document

    @property
    def is_last_try(self) -> bool:
        """Whether nothing else is to be worked on meanwhile, see `WorkQueue.next`."""
        return self.document.tries >= MOST_TRIES


@dataclass(frozen=True, slots=True)
class StoredPage:
    """What is remembered of a page whose chunks are stored; see `vectoray.core.ingestion.Document`."""

    chunks: int
    fingerprint: str
    fetched_url: str
    etag: str | None
    last_modified: str | None


class UrlRuns:
    """Every method is one transaction, durable when it returns.

    Whoever works on URLs takes one with `claim_next`, says `fetched` and then `embedded` before anything is
    written, and ends with `stored`, `unchanged` or `fail`. As soon as one of these says False, the work is
    not wanted any more: the project was deleted, or the lease lost.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: datetime) -> Due:
        """What there is to take, or to give up."""
        return await self._database.read(lambda session: _QUEUE.due(session, now))

    async def claim_next(
        self, worker: str, now: datetime, until: datetime, *, alone: bool = True
    ) -> UrlClaim | None:
        """Take the next URL: one that is pending, or whose worker's lease has ended.

        A URL that was taken `MOST_TRIES` times, and never given back, fails. The arguments are those of
        `JobRuns.claim_next`.
        """

        def work(session: Session) -> UrlClaim | None:
            while (row := _QUEUE.next(session, now, alone=alone)) is not None:
                if row.tries < MOST_TRIES:
                    return _begin(session, row, worker, now, until)
                _fail(row, document_row(session, row.id, row.id), _KILLED, now)
                session.flush()
            return None

        return await self._database.write(work)

    async def wanted(self, leases: Sequence[str]) -> set[str]:
        """Those of these leases whose pages are still wanted."""
        statement = select(ProjectUrlRow.lease).where(ProjectUrlRow.lease.in_(leases), _IN_ACTIVE)
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return {lease for lease in rows if lease is not None}

    async def fetched(self, claim: UrlClaim, now: datetime) -> bool:
        """Say that the page is there."""

        def change(row: ProjectUrlRow, document: DocumentRow) -> None:
            _move(row, UrlStatus.ENCODING, now)
            document.state, document.updated_at = DocumentState.FETCHED.value, now

        return await self._change(claim, change)

    async def embedded(self, claim: UrlClaim, chunks: int, now: datetime) -> bool:
        """Say that so many chunks are about to be written. What is stored is of no known version from now."""

        def change(_row: ProjectUrlRow, document: DocumentRow) -> None:
            document.state, document.chunks, document.updated_at = DocumentState.EMBEDDED.value, chunks, now
            document.fingerprint = document.fetched_url = document.etag = document.last_modified = None

        return await self._change(claim, change)

    async def stored(self, claim: UrlClaim, page: StoredPage, now: datetime) -> bool:
        """Say that these chunks, and no others, can be searched."""

        def change(row: ProjectUrlRow, document: DocumentRow) -> None:
            _move(row, UrlStatus.STORED, now)
            row.end_lease(goes_on=False)
            document.state, document.updated_at = DocumentState.STORED.value, now
            document.chunks = document.stored_chunks = page.chunks
            document.fingerprint = page.fingerprint
            document.fetched_url = page.fetched_url
            document.etag, document.last_modified = page.etag, page.last_modified

        return await self._change(claim, change)

    async def unchanged(self, claim: UrlClaim, now: datetime) -> bool:
        """Say that what is stored is what the page says."""

        def change(row: ProjectUrlRow, document: DocumentRow) -> None:
            _move(row, UrlStatus.STORED, now)
            row.end_lease(goes_on=False)
            document.state, document.updated_at = DocumentState.STORED.value, now

        return await self._change(claim, change)

    async def fail(self, claim: UrlClaim, reason: str, now: datetime) -> bool:
        """Say, in a sentence for people, why the page cannot be stored."""
        return await self._change(claim, lambda row, document: _fail(row, document, reason, now))

    async def release(self, claim: UrlClaim, now: datetime) -> None:
        """Let go of a URL: it is pending again, and this try does not count."""

        def change(row: ProjectUrlRow, _document: DocumentRow) -> None:
            _move(row, UrlStatus.PENDING, now)
            row.tries -= 1
            row.end_lease(goes_on=True)

        await self._change(claim, change)

    async def _change(self, claim: UrlClaim, change: Callable[[ProjectUrlRow, DocumentRow], None]) -> bool:
        statement = (
            select(ProjectUrlRow)
            .where(ProjectUrlRow.id == claim.url.id, ProjectUrlRow.lease == claim.lease, _IN_ACTIVE)
            .with_for_update(of=ProjectUrlRow)
        )

        def work(session: Session) -> bool:
            row = session.scalar(statement)
            if row is None or UrlStatus(row.status) in FINISHED:
                return False
            change(row, document_row(session, row.id, row.id))
            return True

        return await self._database.write(work)


def _begin(session: Session, row: ProjectUrlRow, worker: str, now: datetime, until: datetime) -> UrlClaim:
    collection = session.scalars(
        select(CollectionRow).where(CollectionRow.project_id == row.project_id)
    ).one()
    row.take(worker, str(uuid4()), until)
    _move(row, UrlStatus.CRAWLING, now)
    document = begin_document(
        session,
        row.id,
        row.id,
        collection_id=collection.id,
        uri=row.url,
        source=row.original_url,
        tries=row.tries,
        now=now,
    )
    return UrlClaim(row.to_url(), collection.to_collection(), row.lease or "", document)


def _move(row: ProjectUrlRow, to: UrlStatus, now: datetime) -> None:
    row.status, row.last_updated_at = to.value, now


def _fail(row: ProjectUrlRow, document: DocumentRow, reason: str, now: datetime) -> None:
    _move(row, UrlStatus.FAILED, now)
    row.failure_reason = reason
    row.end_lease(goes_on=False)
    document.reason, document.updated_at = reason, now
