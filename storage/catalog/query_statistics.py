"""How much is asked of collections: the one place that adds to, and reads, this table of the catalog."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from storage.catalog.catalog import ACTIVE, belongs_to
from storage.catalog.database import Database
from storage.catalog.statistics_table import QueryStatisticsRow
from storage.catalog.tables import CollectionRow

# SQLAlchemy has no common word for an insert that adds to what is there.
_INSERT: Mapping[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class QueryTotals(NamedTuple):
    """Queries that were answered.

    Attributes:
        latency_ms: What they took, all together.
    """

    queries: int = 0
    latency_ms: float = 0.0

    @property
    def average_ms(self) -> float:
        """What one took; 0 where there was none."""
        return self.latency_ms / self.queries if self.queries else 0.0

    def plus(self, other: "QueryTotals") -> "QueryTotals":
        """Both together."""
        return QueryTotals(self.queries + other.queries, self.latency_ms + other.latency_ms)


class QueryStatistics:
    """Totals of active collections by day. Every method is one transaction, durable when it returns.

    Any method may raise `Unavailable` when the database cannot be reached or refuses a write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, counted: Mapping[tuple[str, date], QueryTotals]) -> None:
        """Add to what is there.

        Args:
            counted: For a collection's id and a day. Collections that are gone are passed over.
        """
        await self._database.write(lambda session: _add(session, counted))

    async def of_collection(self, collection_id: str) -> QueryTotals:
        """All that was ever asked of a collection."""
        return await self._total(CollectionRow.id == collection_id)

    async def of_owners(self, owners: Sequence[str], *, among: frozenset[str] | None = None) -> QueryTotals:
        """All that was ever asked of the collections of some owners; see `Catalog.by_name`."""
        return await self._total(belongs_to(owners, among))

    async def by_day(
        self, owners: Sequence[str], *, since: date, among: frozenset[str] | None = None
    ) -> dict[date, QueryTotals]:
        """As `of_owners`, for each day from ``since`` on that has any."""
        statement = (
            select(QueryStatisticsRow.day, *_SUMS)
            .join(CollectionRow, CollectionRow.id == QueryStatisticsRow.collection_id)
            .where(ACTIVE, belongs_to(owners, among), QueryStatisticsRow.day >= since)
            .group_by(QueryStatisticsRow.day)
        )
        rows = await self._database.read(lambda session: session.execute(statement).all())
        return {day: QueryTotals(int(queries), float(latency_ms)) for day, queries, latency_ms in rows}

    async def _total(self, condition: ColumnElement[bool]) -> QueryTotals:
        statement = (
            select(*_SUMS)
            .join(CollectionRow, CollectionRow.id == QueryStatisticsRow.collection_id)
            .where(ACTIVE, condition)
        )
        queries, latency_ms = await self._database.read(lambda session: session.execute(statement).one())
        # The sum of no rows is null.
        return QueryTotals(int(queries or 0), float(latency_ms or 0.0))


_SUMS = (func.sum(QueryStatisticsRow.queries), func.sum(QueryStatisticsRow.latency_ms))


def _add(session: Session, counted: Mapping[tuple[str, date], QueryTotals]) -> None:
    ids = sorted({collection_id for collection_id, _ in counted})
    # Held until this is over, in one order everywhere: no deadlocks, and no row for what is dropped.
    held = (
        select(CollectionRow.id)
        .where(CollectionRow.id.in_(ids))
        .order_by(CollectionRow.id)
        .with_for_update(read=True, key_share=True)
    )
    there = set(session.scalars(held))
    rows = [
        {"collection_id": collection_id, "day": day, **totals._asdict()}
        for (collection_id, day), totals in sorted(counted.items())
        if collection_id in there
    ]
    if rows:
        session.execute(_upsert(session), rows)


def _upsert(session: Session) -> Any:
    table = QueryStatisticsRow
    insert = _INSERT[session.get_bind().dialect.name](table)
    return insert.on_conflict_do_update(
        index_elements=[table.collection_id, table.day],
        set_={
            "queries": table.queries + insert.excluded.queries,
            "latency_ms": table.latency_ms + insert.excluded.latency_ms,
        },
    )
