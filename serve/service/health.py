"""Whether the server works, and how much it holds."""

import time
from dataclasses import dataclass, field

import vectoray
from serve.auth import Principal
from serve.service.collections import CollectionService


@dataclass(frozen=True, slots=True)
class Health:
    """How much of what an answer to a caller depends on works.

    Attributes:
        uptime_s: Whole seconds since this process opened its services.
        collections: The caller's collections.
        points: Live points in those whose shards answer.
        unavailable: Collections of which a shard does not answer.
    """

    version: str
    uptime_s: int
    collections: int
    points: int
    unavailable: int


@dataclass(frozen=True, slots=True)
class HealthService:
    """Asks everything that an answer to a caller depends on."""

    collections: CollectionService
    started_s: float = field(default_factory=time.monotonic)

    async def check(self, caller: Principal) -> Health:
        """How things are.

        Raises:
            Unavailable: The catalog does not answer.
        """
        views, total = await self.collections.page(caller)
        return Health(
            version=vectoray.__version__,
            uptime_s=int(time.monotonic() - self.started_s),
            collections=total,
            points=sum(view.points or 0 for view in views),
            unavailable=sum(view.points is None for view in views),
        )
