"""Whether the server works, and how much it holds."""

import time
from dataclasses import dataclass, field

import vectoray
from serve.auth import Principal
from serve.service.collections import CollectionService


@dataclass(frozen=True, slots=True)
class Health:
    """The catalog and every shard of the caller's collections have answered.

    Attributes:
        uptime_s: Whole seconds since this process opened its services.
        collections: The caller's collections.
        points: Live points in them.
    """

    version: str
    uptime_s: int
    collections: int
    points: int


@dataclass(frozen=True, slots=True)
class HealthService:
    """Asks everything that an answer to a caller depends on."""

    collections: CollectionService
    started_s: float = field(default_factory=time.monotonic)

    async def check(self, caller: Principal) -> Health:
        """How things are.

        Raises:
            Unavailable: The catalog or a shard does not answer.
        """
        views, total = await self.collections.page(caller)
        return Health(
            version=vectoray.__version__,
            uptime_s=int(time.monotonic() - self.started_s),
            collections=total,
            points=sum(view.points for view in views),
        )
