"""The table of query statistics, as an SQLAlchemy model."""

from datetime import date

from sqlalchemy import BigInteger, Date, Double, String
from sqlalchemy.orm import Mapped, mapped_column

from storage.catalog.tables import Base


class QueryStatisticsRow(Base):
    """How much was asked of one collection on one day, in UTC, by the callers of all processes together.

    Removed with the collection's own row, by `storage.catalog.catalog.Catalog.finish_drop`. It is no foreign
    key: SQLite, to change the table of collections, makes it anew, and would take these rows for orphans.
    """

    __tablename__ = "query_statistics"

    collection_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    queries: Mapped[int] = mapped_column(BigInteger)
    latency_ms: Mapped[float] = mapped_column(Double)
