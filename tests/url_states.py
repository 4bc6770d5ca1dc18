"""Brings a URL of a project to a status, without anybody who works on it."""

from datetime import UTC, datetime

from sqlalchemy import update

from storage.catalog import Database
from storage.catalog.project_tables import ProjectUrlRow
from vectoray.core.projects import FINISHED, UrlStatus


async def bring_url(
    database: Database, url_id: str, to: UrlStatus, reason: str | None = None, at: datetime | None = None
) -> None:
    """Write a status as whoever works on the URL would."""
    now = at or datetime.now(UTC)
    values = {
        "status": to.value,
        "failure_reason": reason,
        "last_updated_at": now,
        "due_at": None if to in FINISHED else now,
    }
    statement = update(ProjectUrlRow).where(ProjectUrlRow.id == url_id).values(values)
    await database.write(lambda session: session.execute(statement))
