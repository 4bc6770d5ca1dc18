"""The shards one process owns: opened when first asked for, kept open, closed together."""

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from cluster.event_publisher import EventPublisher
from cluster.fan_out import fan_out
from cluster.fragments import write_fragment
from cluster.optimizations import Optimizations
from cluster.placement import shard_directory
from cluster.writes import Write
from storage import files
from storage.events import ShardKey
from storage.head import Head
from storage.listing import Listing, ScanStep, first_of, newest, scan
from storage.log import WriteLog
from storage.search import hybrid_candidates, is_quick, search
from storage.settings import StorageSettings
from storage.shard import LOG, ShardSpec, create_shard, shard_exists
from storage.writer import ShardWriter
from vectoray.core.errors import ShardLocked, ShardUnavailable, Unavailable, VectorayError
from vectoray.core.filters import Filter
from vectoray.core.fusion import shortlist
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import (
    Collection,
    CollectionStats,
    Point,
    PointBatch,
    SearchQuery,
    SearchResult,
    WriteResult,
)

_log = structlog.get_logger(__name__)


class OpenShards:
    """A `cluster.engine.ShardHost` in this process: ``<data>/collections/<id>/shard-0000`` and so on."""

    def __init__(
        self, data_dir: Path, settings: StorageSettings, publisher: EventPublisher | None = None
    ) -> None:
        """Open no shard yet.

        Args:
            data_dir: The data folder.
            settings: How shards are kept.
            publisher: Tells others what is written; it is closed with the shards. None: nobody is told.
        """
        self._data_dir = data_dir
        self._settings = settings
        self._publisher = publisher
        self._open: dict[ShardKey, ShardWriter] = {}
        self._turns: dict[ShardKey, asyncio.Lock] = {}
        self._optimizations = Optimizations()
        self._closed = False

    async def catch_up(self) -> bool:
        """Open the shards whose last owner ended before all that it had written was told to others.

        Returns:
            Whether all of them are open; otherwise try again in a moment.
        """
        if self._publisher is None:
            return True
        try:
            left = self._publisher.left_behind
            for key in await asyncio.to_thread(left, lambda key: shard_directory(self._data_dir, *key)):
                await self._owner(key)
        except VectorayError as error:
            _log.info("events_left_behind", reason=error.message)
            return False
        return True

    async def create(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.create`."""
        spec = ShardSpec(collection.dimension, collection.metric, collection.index)
        for shard in shards:
            with files.disk_errors("making a shard"):
                await asyncio.to_thread(create_shard, self._directory(collection, shard), spec)

    async def drop(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.drop`."""
        # A caller that goes away must not leave a shard half dropped.
        await asyncio.shield(fan_out(self._drop(collection, shard) for shard in shards))
        with files.disk_errors("removing a collection"):
            await asyncio.to_thread(_remove_if_empty, self._directory(collection, 0).parent)

    async def _drop(self, collection: Collection, shard: int) -> None:
        key = ShardKey(collection.id, shard)
        async with self._turn(key):
            writer = self._open.pop(key, None)
            if writer is not None:
                await asyncio.to_thread(writer.close, flush=False)
            if self._publisher is not None:
                log = WriteLog(self._directory(collection, shard) / LOG)
                await asyncio.to_thread(self._publisher.publish_last, key, log)
            with files.disk_errors("removing a shard"):
                await asyncio.to_thread(_remove_tree, self._directory(collection, shard))

    async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
        """As `cluster.engine.ShardHost.open`."""
        for shard in shards:
            await self._writer(collection, shard)
        return None

    async def write(self, collection: Collection, parts: Mapping[int, Write]) -> dict[int, WriteResult]:
        """As `cluster.engine.ShardHost.write`."""

        async def write(shard: int, part: Write) -> WriteResult:
            writer = await self._writer(collection, shard)
            change = writer.write(part.batch, part.mode, atomic=part.atomic, expected_seqs=part.expected_seqs)
            return await asyncio.wrap_future(change)

        results = await fan_out(write(shard, part) for shard, part in parts.items())
        return dict(zip(parts, results, strict=True))

    async def delete(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[str]:
        """As `cluster.engine.ShardHost.delete`."""

        async def write(shard: int, ids: Sequence[str]) -> list[str]:
            writer = await self._writer(collection, shard)
            return await asyncio.wrap_future(writer.delete(ids))

        existed = await fan_out(write(shard, ids) for shard, ids in parts.items())
        return [point_id for part in existed for point_id in part]

    async def delete_matching(
        self, collection: Collection, shards: Sequence[int], condition: Filter
    ) -> list[str]:
        """As `cluster.engine.ShardHost.delete_matching`."""

        async def write(shard: int) -> list[str]:
            writer = await self._writer(collection, shard)
            return await asyncio.wrap_future(writer.delete_matching(condition))

        deleted = await fan_out(write(shard) for shard in shards)
        return [point_id for part in deleted for point_id in part]

    async def get(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[Point]:
        """As `cluster.engine.ShardHost.get`."""
        found = []
        for shard, ids in parts.items():
            writer = await self._writer(collection, shard)
            found += [point for point_id in ids if (point := writer.get(point_id)) is not None]
        return found

    async def search(self, collection: Collection, shards: Sequence[int], query: SearchQuery) -> SearchResult:
        """As `cluster.engine.ShardHost.search`."""
        return await search_heads(await self._heads(collection, shards), collection, query)

    async def hybrid(
        self, collection: Collection, shards: Sequence[int], query: HybridQuery
    ) -> list[Candidate]:
        """As `cluster.engine.ShardHost.hybrid`."""
        return await hybrid_heads(await self._heads(collection, shards), collection, query)

    async def newest(
        self, collection: Collection, shards: Sequence[int], count: int, condition: Filter | None
    ) -> Listing:
        """As `cluster.engine.ShardHost.newest`."""
        return await newest_of_heads(await self._heads(collection, shards), count, condition)

    async def scan(
        self,
        collection: Collection,
        shard: int,
        start_hash: int,
        count: int,
        condition: Filter | None,
    ) -> ScanStep:
        """As `cluster.engine.ShardHost.scan`."""
        [head] = await self._heads(collection, [shard])
        return await asyncio.to_thread(scan, head, start_hash, count, condition)

    async def write_fragment(
        self, collection: Collection, shard: int, job: str, part: str, batch: PointBatch
    ) -> str:
        """As `cluster.engine.ShardHost.write_fragment`."""
        return await asyncio.to_thread(write_fragment, self._data_dir, collection, shard, job, part, batch)

    async def commit_fragments(
        self, collection: Collection, job: str, part: str, fragments: Mapping[int, Sequence[str]]
    ) -> None:
        """As `cluster.engine.ShardHost.commit_fragments`."""

        async def commit(shard: int, names: Sequence[str]) -> None:
            writer = await self._writer(collection, shard)
            paths = [writer.directory / name for name in names]
            with files.disk_errors("committing a part of a bulk load"):
                await asyncio.to_thread(writer.commit_fragments, job, part, paths)

        await fan_out(commit(shard, names) for shard, names in fragments.items())

    async def loaded_parts(
        self, collection: Collection, shards: Sequence[int], job: str
    ) -> list[frozenset[str]]:
        """As `cluster.engine.ShardHost.loaded_parts`."""
        return [(await self._writer(collection, shard)).committed_parts(job) for shard in shards]

    async def end_load(self, collection: Collection, shards: Sequence[int], job: str) -> None:
        """As `cluster.engine.ShardHost.end_load`."""
        for shard in shards:
            writer = await self._writer(collection, shard)
            with files.disk_errors("ending a bulk load"):
                await asyncio.to_thread(writer.forget_job, job)

    async def stats(
        self, collections: Sequence[tuple[Collection, Sequence[int]]]
    ) -> list[CollectionStats | None]:
        """As `cluster.engine.ShardHost.stats`."""
        return [await self._stats(collection, shards) for collection, shards in collections]

    async def _stats(self, collection: Collection, shards: Sequence[int]) -> CollectionStats | None:
        try:
            return sum_stats([(await self._writer(collection, shard)).stats() for shard in shards])
        except VectorayError as error:
            _log.warning("shard_without_stats", collection=collection.id, reason=error.message)
            return None

    async def optimize(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `cluster.engine.ShardHost.optimize`."""
        for shard in shards:
            self._optimizations.begin(await self._writer(collection, shard))

    @property
    def heads(self) -> list[Head]:
        """What is live in each open shard."""
        return [writer.head for writer in self._open.values()]

    @property
    def stuck_s(self) -> float:
        """For how many seconds the writes of some shard have been on their way to the disk."""
        return max((writer.stuck_s for writer in self._open.values()), default=0.0)

    async def close(self) -> None:
        """Close every shard, writing what is waiting. All are closed, whatever one of them says."""
        self._closed = True
        # Every turn, not only the open ones: a shard may be opening.
        try:
            await fan_out(self._close(key) for key in list(self._turns))
        finally:
            await asyncio.to_thread(self._optimizations.close)
            if self._publisher is not None:
                await asyncio.to_thread(self._publisher.close)

    async def _close(self, key: ShardKey) -> None:
        async with self._turn(key):
            writer = self._open.pop(key, None)
            if writer is not None:
                await asyncio.to_thread(writer.close)

    def _directory(self, collection: Collection, shard: int) -> Path:
        return shard_directory(self._data_dir, collection.id, shard)

    def _turn(self, key: ShardKey) -> asyncio.Lock:
        """Held by whoever opens, closes or drops the shard: one at a time."""
        return self._turns.setdefault(key, asyncio.Lock())

    async def _heads(self, collection: Collection, shards: Sequence[int]) -> list[Head]:
        return [(await self._writer(collection, shard)).head for shard in shards]

    async def _writer(self, collection: Collection, shard: int) -> ShardWriter:
        """The shard's owner, opened once however many ask at the same time; anew when it is broken."""
        return await self._owner(ShardKey(collection.id, shard))

    async def _owner(self, key: ShardKey) -> ShardWriter:
        writer = self._open.get(key)
        if writer is not None and not writer.broken:
            return writer
        # A caller that goes away must not cancel the opening for the others.
        opening = asyncio.create_task(self._open_shard(key))
        opening.add_done_callback(_note_outcome)
        return await asyncio.shield(opening)

    async def _open_shard(self, key: ShardKey) -> ShardWriter:
        async with self._turn(key):
            if self._closed:
                raise Unavailable("The shard host is stopping.")
            writer = self._open.get(key)
            if writer is not None and not writer.broken:
                return writer
            if writer is not None:
                _log.warning("shard_opened_again", shard=key.shard, collection=key.collection_id)
                del self._open[key]
                await asyncio.to_thread(writer.close)
            directory = shard_directory(self._data_dir, *key)
            if not shard_exists(directory):
                raise ShardUnavailable(
                    f"Shard {key.shard} of the collection is not on the host that should have it.",
                    {"shard": key.shard},
                )
            try:
                with files.disk_errors("opening a shard"):
                    self._open[key] = await asyncio.to_thread(self._new_writer, key, directory)
            except ShardLocked as error:
                _log.warning("shard_locked", shard=key.shard, collection=key.collection_id, **error.details)
                raise ShardUnavailable(
                    f"Shard {key.shard} is still owned by the process that is being replaced; "
                    "try again in a moment.",
                    {"shard": key.shard},
                ) from error
            return self._open[key]

    def _new_writer(self, key: ShardKey, directory: Path) -> ShardWriter:
        if self._publisher is None:
            return ShardWriter(directory, self._settings)
        writes = self._publisher.shard(key)
        writer = ShardWriter(directory, self._settings, listener=writes.add)
        self._publisher.follow(writes, writer)
        return writer


async def search_heads(heads: Sequence[Head], collection: Collection, query: SearchQuery) -> SearchResult:
    """The best hits over some shards of a collection, in this process."""
    if is_quick(heads, query.filter):
        # A few milliseconds at most, and mostly far less: handing it to a thread would cost more.
        return search(heads, collection.metric, query, shards=collection.shards)
    return await asyncio.to_thread(search, heads, collection.metric, query, shards=collection.shards)


async def hybrid_heads(heads: Sequence[Head], collection: Collection, query: HybridQuery) -> list[Candidate]:
    """What `vectoray.core.fusion.fuse` needs of some shards of a collection, in this process."""

    def candidates() -> list[Candidate]:
        parts = [hybrid_candidates(head, collection.metric, query) for head in heads]
        return parts[0] if len(parts) == 1 else shortlist(query, parts)

    # In a thread whatever it is: it goes over a number for every row that there is.
    return await asyncio.to_thread(candidates)


async def newest_of_heads(heads: Sequence[Head], count: int, condition: Filter | None) -> Listing:
    """The first points over some shards of a collection, in this process; see `storage.listing.newest`."""

    def listing() -> Listing:
        return first_of([newest(head, count, condition) for head in heads], count)

    return await asyncio.to_thread(listing)


def sum_stats(parts: Sequence[CollectionStats]) -> CollectionStats:
    """The stats of several parts of a collection, taken together."""
    return CollectionStats(
        points=sum(part.points for part in parts),
        last_write_ms=max((part.last_write_ms for part in parts), default=0),
        index_bytes=sum(part.index_bytes for part in parts),
        records=sum(part.records for part in parts),
        writes=sum(part.writes for part in parts),
    )


def _note_outcome(task: "asyncio.Task[ShardWriter]") -> None:
    """Look at how a task ended, so that asyncio does not complain when its caller is gone."""
    if not task.cancelled():
        task.exception()


def _remove_tree(directory: Path) -> None:
    """Remove a folder and all in it. It is renamed first, so that no half-removed shard can be opened."""
    doomed = directory.with_name(files.TEMPORARY_PREFIX + directory.name)
    if doomed.exists():
        shutil.rmtree(doomed)
    if directory.exists():
        directory.rename(doomed)
        shutil.rmtree(doomed)


def _remove_if_empty(directory: Path) -> None:
    # Another host may be making or removing its own shards of the collection.
    with suppress(FileNotFoundError):
        if not any(directory.iterdir()):
            directory.rmdir()
