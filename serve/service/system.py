"""What this server is, and whether what it depends on answers."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

import vectoray
from serve.auth import Principal
from serve.service.collections import CollectionService
from serve.service.ingestors import Ingestors
from serve.service.limits import Limits
from vectoray.core.errors import Unavailable
from vectoray.embedding import ModelInfo

# What takes longer does not answer, for whoever asks.
_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Connections:
    """What answered a moment ago.

    Attributes:
        database: The catalog's database.
        shards: All shards of the caller's collections. False without a database, which knows where they are.
        ingestors: One at least, or there should be none. False without a database, in which they tell.
    """

    database: bool
    shards: bool
    ingestors: bool


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What this server can do."""

    version: str
    models: Sequence[ModelInfo]
    limits: Limits


@dataclass(frozen=True, slots=True)
class SystemService:
    """Asks, and tells."""

    collections: CollectionService
    models: Sequence[ModelInfo]
    limits: Limits
    ingestors: Ingestors

    async def connections(self, caller: Principal) -> Connections:
        """What answers now. Takes a few seconds at most, and never fails."""
        database = await _answers(self.collections.catalog.database.ping())
        if not database:
            return Connections(database=False, shards=False, ingestors=False)
        shards, ingestors = await asyncio.gather(
            _answers(self._all_shards(caller)), _answers(self.ingestors.work())
        )
        return Connections(database, shards, ingestors)

    def info(self) -> ServerInfo:
        """What anybody may know."""
        return ServerInfo(vectoray.__version__, self.models, self.limits)

    async def _all_shards(self, caller: Principal) -> bool:
        views, _ = await self.collections.page(caller)
        return all(view.points is not None for view in views)


async def _answers(asked: Awaitable[bool]) -> bool:
    try:
        async with asyncio.timeout(_WITHIN_S):
            return await asked
    except (Unavailable, TimeoutError):
        return False
