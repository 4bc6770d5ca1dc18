"""The engine over any shard hosts: splits by shard, asks the hosts at once, merges. Never answers in part."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from cluster.engine import ShardHost
from cluster.fan_out import fan_out
from cluster.placement import place, shards_by_host, split_ids, split_rows
from cluster.shards import sum_stats
from cluster.writes import SplitWrite, Write
from storage.listing import Listing, ScanStep, first_of
from vectoray.core.errors import ShardUnavailable, Unavailable
from vectoray.core.filters import Filter
from vectoray.core.fusion import fuse
from vectoray.core.hybrid import HybridQuery
from vectoray.core.model import (
    Collection,
    CollectionStats,
    Point,
    PointBatch,
    SearchQuery,
    SearchResult,
    WriteMode,
    WriteResult,
    merge_hits,
)

_T = TypeVar("_T")


class ShardedEngine:
    """An `cluster.engine.Engine` over a fixed list of hosts."""

    def __init__(self, hosts: Sequence[ShardHost]) -> None:
        self._hosts = hosts

    def place(self, collection_id: str, shards: int) -> tuple[int, ...]:
        """As `Engine.place`."""
        return place(collection_id, shards, len(self._hosts))

    async def create(self, collection: Collection) -> None:
        """As `Engine.create`."""
        await fan_out(host.create(collection, shards) for host, shards in self._shards_by_host(collection))

    async def drop(self, collection: Collection) -> None:
        """As `Engine.drop`."""
        await fan_out(host.drop(collection, shards) for host, shards in self._shards_by_host(collection))

    async def write(
        self,
        collection: Collection,
        batch: PointBatch,
        mode: WriteMode = WriteMode.UPSERT,
        *,
        atomic: bool = True,
        expected_seqs: npt.NDArray[np.uint64] | None = None,
    ) -> WriteResult:
        """As `Engine.write`."""
        split = SplitWrite.of(Write(batch, mode, atomic, expected_seqs), collection.shards)
        parts = self._by_host(collection, split.parts)
        results = await fan_out(host.write(collection, mine) for host, mine in parts)
        return split.joined({shard: result for part in results for shard, result in part.items()})

    async def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        """As `Engine.delete`."""
        parts = self._by_host(collection, split_ids(ids, collection.shards))
        results = await fan_out(host.delete(collection, mine) for host, mine in parts)
        existed = {point_id for result in results for point_id in result}
        return [point_id for point_id in dict.fromkeys(ids) if point_id in existed]

    async def delete_matching(self, collection: Collection, condition: Filter) -> list[str]:
        """As `Engine.delete_matching`."""
        parts = self._shards_by_host(collection)
        results = await fan_out(host.delete_matching(collection, mine, condition) for host, mine in parts)
        return [point_id for result in results for point_id in result]

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """As `Engine.get`."""
        parts = self._by_host(collection, split_ids(ids, collection.shards))
        results = await fan_out(host.get(collection, mine) for host, mine in parts)
        found = {point.id: point for result in results for point in result}
        return [found.get(point_id) for point_id in ids]

    async def search(self, collection: Collection, query: SearchQuery) -> SearchResult:
        """As `Engine.search`."""
        parts = self._shards_by_host(collection)
        results = await fan_out(host.search(collection, shards, query) for host, shards in parts)
        return merge_hits([result.hits for result in results], query.top_k)

    async def hybrid(self, collection: Collection, query: HybridQuery) -> SearchResult:
        """As `Engine.hybrid`."""
        parts = self._shards_by_host(collection)
        return fuse(query, await fan_out(host.hybrid(collection, shards, query) for host, shards in parts))

    async def page(
        self, collection: Collection, *, skip: int, limit: int, condition: Filter | None = None
    ) -> tuple[list[Point], int]:
        """As `Engine.page`."""
        count = skip + limit
        listing = first_of(await self._newest(collection, count, condition), count)
        # Only now, and only of these, the points themselves: a late page has many before it.
        points = await self.get(collection, [listed.id for listed in listing.first[skip:]])
        return [point for point in points if point is not None], listing.total

    async def scan(
        self, collection: Collection, *, batch_rows: int, condition: Filter | None = None
    ) -> AsyncIterator[list[Point]]:
        """As `Engine.scan`."""
        for shard in range(collection.shards):
            start_hash: int | None = 0
            while start_hash is not None:
                step = await self._scan(collection, shard, start_hash, batch_rows, condition)
                if step.points:
                    yield list(step.points)
                start_hash = step.next_hash

    async def load(self, collection: Collection, job: str, part: str, batch: PointBatch) -> None:
        """As `Engine.load`."""
        fragments: dict[int, list[str]] = {shard: [] for shard in range(collection.shards)}
        # One after the other: each has a copy of its rows, and keeps a core busy.
        for shard, rows in split_rows(batch.ids, collection.shards).items():
            mine = batch if collection.shards == 1 else batch.take(rows)
            fragments[shard].append(await self._write_fragment(collection, shard, job, part, mine))
        # All of them are there: what is committed now is committed as a whole, unless an owner fails.
        await fan_out(
            host.commit_fragments(collection, job, part, mine)
            for host, mine in self._by_host(collection, fragments)
        )

    async def loaded_parts(self, collection: Collection, job: str) -> frozenset[str]:
        """As `Engine.loaded_parts`."""
        answers = await fan_out(
            host.loaded_parts(collection, shards, job) for host, shards in self._shards_by_host(collection)
        )
        return frozenset[str].intersection(*(parts for answer in answers for parts in answer))

    async def end_load(self, collection: Collection, job: str) -> None:
        """As `Engine.end_load`."""
        await fan_out(
            host.end_load(collection, shards, job) for host, shards in self._shards_by_host(collection)
        )

    async def stats(self, collections: Sequence[Collection]) -> list[CollectionStats | None]:
        """As `Engine.stats`."""
        distinct = {collection.id: collection for collection in collections}
        asked: dict[ShardHost, list[tuple[Collection, Sequence[int]]]] = {}
        parts: dict[str, list[CollectionStats | None]] = {collection_id: [] for collection_id in distinct}
        for collection in distinct.values():
            try:
                owned = self._shards_by_host(collection)
            except ShardUnavailable:
                # Of a host that there is no more: nothing is known of this one, but of the others.
                parts[collection.id].append(None)
                continue
            for host, shards in owned:
                asked.setdefault(host, []).append((collection, shards))
        answers = await fan_out(_stats_of(host, request) for host, request in asked.items())
        for request, answer in zip(asked.values(), answers, strict=True):
            for (collection, _), stats in zip(request, answer, strict=True):
                parts[collection.id].append(stats)
        totals = {collection_id: _total(found) for collection_id, found in parts.items()}
        return [totals[collection.id] for collection in collections]

    async def optimize(self, collection: Collection) -> None:
        """As `Engine.optimize`."""
        await fan_out(host.optimize(collection, shards) for host, shards in self._shards_by_host(collection))

    async def close(self) -> None:
        """As `Engine.close`."""
        await fan_out(host.close() for host in self._hosts)

    async def _write_fragment(
        self, collection: Collection, shard: int, job: str, part: str, batch: PointBatch
    ) -> str:
        host = self._host(collection.hosts[shard])
        return await host.write_fragment(collection, shard, job, part, batch)

    async def _newest(self, collection: Collection, count: int, condition: Filter | None) -> list[Listing]:
        parts = self._shards_by_host(collection)
        return await fan_out(host.newest(collection, shards, count, condition) for host, shards in parts)

    async def _scan(
        self,
        collection: Collection,
        shard: int,
        start_hash: int,
        count: int,
        condition: Filter | None,
    ) -> ScanStep:
        host = self._host(collection.hosts[shard])
        return await host.scan(collection, shard, start_hash, count, condition)

    def _shards_by_host(self, collection: Collection) -> list[tuple[ShardHost, Sequence[int]]]:
        return [(self._host(number), shards) for number, shards in shards_by_host(collection.hosts).items()]

    def _by_host(
        self, collection: Collection, parts: Mapping[int, _T]
    ) -> list[tuple[ShardHost, dict[int, _T]]]:
        return [
            (host, mine)
            for host, shards in self._shards_by_host(collection)
            if (mine := {shard: parts[shard] for shard in shards if shard in parts})
        ]

    def _host(self, number: int) -> ShardHost:
        if number >= len(self._hosts):
            raise ShardUnavailable(
                f"A shard of the collection is on host {number}, and there are {len(self._hosts)} hosts."
            )
        return self._hosts[number]


async def _stats_of(
    host: ShardHost, request: Sequence[tuple[Collection, Sequence[int]]]
) -> Sequence[CollectionStats | None]:
    try:
        return await host.stats(request)
    except Unavailable:
        return [None] * len(request)


def _total(parts: Sequence[CollectionStats | None]) -> CollectionStats | None:
    """The sum, unless a part is missing: a sum of the rest would be wrong."""
    known = [part for part in parts if part is not None]
    return sum_stats(known) if len(known) == len(parts) else None
