"""How much is stored and asked: of one collection, and of all that a caller may see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from serve.auth import Principal
from serve.query_counts import QueryCounts
from serve.service.collections import CollectionService, CollectionView
from serve.service.ownership import Address, visible_owners
from serve.service.rights import require
from storage.catalog import QueryStatistics, QueryTotals
from vectoray.core.accounts import Scope


@dataclass(frozen=True, slots=True)
class CollectionStatistics:
    """A collection, how full it is, and what was asked of it since it was made."""

    view: CollectionView
    queries: QueryTotals


@dataclass(frozen=True, slots=True)
class Overview:
    """What a caller may see, taken together.

    Attributes:
        points: Live points in the collections whose shards answer.
    """

    collections: int
    points: int
    queries: QueryTotals


@dataclass(frozen=True, slots=True)
class DayActivity:
    """What was asked on one day, in UTC."""

    day: date
    queries: QueryTotals


@dataclass(frozen=True, slots=True)
class StatisticsService:
    """Every figure has what this process counted up to now, and what others counted up to seconds ago."""

    collections: CollectionService
    statistics: QueryStatistics
    counts: QueryCounts

    async def of_collection(self, caller: Principal, address: Address) -> CollectionStatistics:
        """One collection's figures.

        Raises:
            CollectionNotFound: There is none that the caller may see.
            ShardUnavailable: One of its shards does not answer.
        """
        view = await self.collections.describe(caller, address)
        await self.counts.flush()
        return CollectionStatistics(view, await self.statistics.of_collection(view.collection.id))

    async def overview(self, caller: Principal) -> Overview:
        """The figures of all that the caller may see."""
        require(caller, Scope.READ)
        await self.counts.flush()
        views, total = await self.collections.page(caller)
        return Overview(
            collections=total,
            points=sum(view.points or 0 for view in views),
            queries=await self.statistics.of_owners(visible_owners(caller), among=caller.collections),
        )

    async def activity(self, caller: Principal, days: int) -> Sequence[DayActivity]:
        """What was asked on each of the last ``days`` days, oldest first, the last being today in UTC.

        Args:
            caller: Whose collections count.
            days: How many; the API family has checked its bounds.
        """
        require(caller, Scope.READ)
        await self.counts.flush()
        today = datetime.now(UTC).date()
        wanted = [today - timedelta(days=ago) for ago in reversed(range(days))]
        known = await self.statistics.by_day(
            visible_owners(caller), since=wanted[0], among=caller.collections
        )
        return [DayActivity(day, known.get(day, QueryTotals())) for day in wanted]
