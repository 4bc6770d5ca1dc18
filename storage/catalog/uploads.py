"""Uploaded files: the one place that reads and writes their table of the catalog."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.exc import IntegrityError

from storage.catalog.database import Database
from storage.catalog.ingestion_tables import JobRow, UploadRow
from vectoray.core.ingestion import Upload


class Uploads:
    """Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, upload: Upload) -> bool:
        """Keep a new upload. False if its collection is gone."""
        try:
            await self._database.write(lambda session: session.add(UploadRow.of(upload)))
        except IntegrityError:
            return False
        return True

    async def find(self, upload_id: str) -> Upload | None:
        """The upload with this id."""
        row = await self._database.read(lambda session: session.get(UploadRow, upload_id))
        return None if row is None else row.to_upload()

    async def forget_unused(self, before: datetime) -> list[str]:
        """Forget uploads from before a time that no job uses. Returns their ids."""
        used = exists().where(JobRow.upload_id == UploadRow.id)
        statement = delete(UploadRow).where(UploadRow.created_at < before, ~used).returning(UploadRow.id)
        unsynchronized = statement.execution_options(synchronize_session=False)
        return await self._database.write(lambda session: list(session.scalars(unsynchronized)))

    async def known(self, upload_ids: Sequence[str]) -> set[str]:
        """Those of these ids that are ids of uploads."""
        statement = select(UploadRow.id).where(UploadRow.id.in_(upload_ids))
        return await self._database.read(lambda session: set(session.scalars(statement)))
