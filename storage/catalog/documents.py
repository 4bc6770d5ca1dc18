"""The ledger of documents: written as part of what happens to jobs and URLs, and read by whoever asks why."""

from datetime import datetime

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from storage.catalog.database import Database
from storage.catalog.work_tables import DocumentRow
from vectoray.core.ingestion import Document, DocumentState


class Documents:
    """Reads the ledger. A method may raise `Unavailable` when the database cannot be reached."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_owner(self, owner_id: str) -> list[Document]:
        """The documents of a job or of a URL, by their source."""
        statement = select(DocumentRow).where(DocumentRow.owner_id == owner_id)
        return await self._find(statement.order_by(DocumentRow.source, DocumentRow.document_id))

    async def of_source(self, collection_id: str, source: str) -> list[Document]:
        """The documents of a collection that people call ``source``, the latest first."""
        statement = select(DocumentRow).where(
            DocumentRow.collection_id == collection_id, DocumentRow.source == source
        )
        return await self._find(statement.order_by(DocumentRow.updated_at.desc(), DocumentRow.owner_id))

    async def _find(self, statement: Select[DocumentRow]) -> list[Document]:
        rows = await self._database.read(lambda session: session.scalars(statement).all())
        return [row.to_document() for row in rows]


def begin_document(
    session: Session,
    owner_id: str,
    document_id: str,
    *,
    collection_id: str,
    uri: str,
    source: str,
    tries: int,
    now: datetime,
) -> Document:
    """Note that somebody begins with a document.

    Returns:
        What the ledger said of it before, if it did, with the new ``tries``.
    """
    row = session.get(DocumentRow, (owner_id, document_id))
    if row is None:
        row = DocumentRow(
            owner_id=owner_id,
            document_id=document_id,
            collection_id=collection_id,
            uri=uri,
            source=source,
            state=DocumentState.TAKEN.value,
            chunks=0,
            stored_chunks=0,
            updated_at=now,
        )
        session.add(row)
    row.tries, row.reason = tries, None
    before = row.to_document()
    row.state, row.updated_at = DocumentState.TAKEN.value, now
    return before


def document_row(session: Session, owner_id: str, document_id: str) -> DocumentRow:
    """A document that was begun."""
    return session.get_one(DocumentRow, (owner_id, document_id))
