"""Reads of shards whose files lie on this node, in this process: no owner is asked, no call is made."""

import asyncio
import contextvars
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from cluster.engine import ShardHost
from cluster.placement import shard_directory, shards_by_host
from storage.reader import ShardReader
from storage.view import ShardView
from vectoray.core.errors import CorruptData, ShardUnavailable, Unavailable
from vectoray.core.model import Collection

_log = structlog.get_logger(__name__)

# Writes that are taken in on the spot, a fraction of a millisecond each; more are left to a thread.
_FEW_WRITES = 16
_SWEEP_EVERY_S = 30.0


class LocalReads:
    """Readers of the collections that were asked for lately. For one event loop."""

    def __init__(self, data_dir: Path, *, node: Callable[[], str], max_collections: int) -> None:
        """Make it; nothing is opened until it is asked for.

        Args:
            data_dir: The data folder of this node's shard hosts.
            node: Says which node this is, as `ShardHost.open` does.
            max_collections: Of how many collections readers are kept open.
        """
        self._data_dir = data_dir
        self._node = node
        self._max_collections = max_collections
        self._open: OrderedDict[str, dict[int, _FollowedShard]] = OrderedDict()
        self._opening: dict[tuple[str, int], asyncio.Task[bool]] = {}
        # A host keeps its node for as long as it runs.
        self._elsewhere: set[int] = set()
        self._sweeping: asyncio.Task[None] | None = None

    async def views(
        self, collection: Collection, number: int, host: ShardHost, shards: Sequence[int]
    ) -> list[ShardView] | None:
        """Some shards of a host, with everything that was acknowledged before the call.

        Args:
            collection: The collection.
            number: The host's number.
            host: Who owns the shards.
            shards: Which of them.

        Returns:
            Their views; None where the host is to be asked: its node is another one, or a shard cannot be
            read here now.

        Raises:
            Unavailable: The shards have never been open here, and the host does not answer.
        """
        if number in self._elsewhere:
            return None
        followed = self._followed(collection, shards)
        if followed is None:
            if not await self._opened(collection, number, host):
                return None
            followed = self._followed(collection, shards)
        if followed is None:
            return None
        try:
            return [one.view if one.is_current else await one.refreshed() for one in followed]
        except (Unavailable, CorruptData, OSError) as error:
            _log.warning("shard_not_read_here", collection=collection.id, kind=type(error).__name__)
            self.forget(collection.id)
            return None

    @property
    def open_collections(self) -> int:
        """Of how many collections readers are open."""
        return len(self._open)

    @property
    def lag_writes(self) -> int:
        """How many acknowledged writes one of the readers has not taken in yet, at most."""
        return max((one.lag for readers in self._open.values() for one in readers.values()), default=0)

    def forget(self, collection_id: str) -> None:
        """Close what is open of a collection."""
        for followed in self._open.pop(collection_id, {}).values():
            followed.close()

    def close(self) -> None:
        """Close everything."""
        for task in (self._sweeping, *self._opening.values()):
            if task is not None:
                task.cancel()
        for collection_id in list(self._open):
            self.forget(collection_id)

    def _followed(self, collection: Collection, shards: Sequence[int]) -> "list[_FollowedShard] | None":
        readers = self._open.get(collection.id)
        if readers is None or not all(shard in readers for shard in shards):
            return None
        self._open.move_to_end(collection.id)
        return [readers[shard] for shard in shards]

    async def _opened(self, collection: Collection, number: int, host: ShardHost) -> bool:
        """Open all shards of a host, once however many ask. False if they cannot be read here."""
        key = (collection.id, number)
        opening = self._opening.get(key)
        if opening is None:
            # Not the first caller's to cancel: others wait for it too.
            loop = asyncio.get_running_loop()
            opening = loop.create_task(
                self._open_all(collection, number, host), context=contextvars.Context()
            )
            self._opening[key] = opening
            opening.add_done_callback(lambda _: self._opening.pop(key, None))
            opening.add_done_callback(_note_outcome)
        return await asyncio.shield(opening)

    async def _open_all(self, collection: Collection, number: int, host: ShardHost) -> bool:
        shards = shards_by_host(collection.hosts)[number]
        # The counter of a shard that nobody has opened since the machine was started may be of another time.
        if await host.open(collection, shards) != self._node():
            self._elsewhere.add(number)
            return False
        directories = [shard_directory(self._data_dir, collection.id, shard) for shard in shards]
        try:
            readers = await asyncio.to_thread(lambda: [ShardReader(path) for path in directories])
        except (Unavailable, CorruptData, OSError) as error:
            _log.warning("shard_not_read_here", collection=collection.id, kind=type(error).__name__)
            return False
        opened = self._open.setdefault(collection.id, {})
        opened.update({shard: _FollowedShard(one) for shard, one in zip(shards, readers, strict=True)})
        self._open.move_to_end(collection.id)
        while len(self._open) > self._max_collections:
            self.forget(next(iter(self._open)))
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())
        return True

    async def _sweep(self) -> None:
        """Let go of shards that were removed: mapped files take room on the disk until then."""
        while True:
            await asyncio.sleep(_SWEEP_EVERY_S)
            for collection_id, readers in list(self._open.items()):
                try:
                    is_gone = await asyncio.to_thread(_any_gone, list(readers.values()))
                except Exception:  # noqa: BLE001  (the next look may succeed)
                    _log.exception("shards_not_looked_at", collection=collection_id)
                    continue
                if is_gone:
                    self.forget(collection_id)


class _FollowedShard:
    """One reader, for all requests of an event loop."""

    def __init__(self, reader: ShardReader) -> None:
        self._reader = reader
        self._turn = asyncio.Lock()
        self._closed = False

    @property
    def view(self) -> ShardView:
        return self._reader.view

    @property
    def is_current(self) -> bool:
        return not self._closed and self._reader.is_current

    @property
    def is_gone(self) -> bool:
        return self._reader.is_gone

    @property
    def lag(self) -> int:
        return 0 if self._closed else self._reader.lag

    async def refreshed(self) -> ShardView:
        """A view with everything that was acknowledged before the call."""
        reader = self._reader
        is_free = not self._closed and not self._turn.locked()
        if is_free and reader.is_near and reader.lag <= _FEW_WRITES:
            reader.refresh()
            return reader.view
        # A task of its own: a caller that goes away cannot stop the thread, so it must not give up the turn.
        refreshing = asyncio.get_running_loop().create_task(self._refresh(), context=contextvars.Context())
        refreshing.add_done_callback(_note_outcome)
        return await asyncio.shield(refreshing)

    async def _refresh(self) -> ShardView:
        async with self._turn:
            if self._closed:
                raise ShardUnavailable("The shard was closed meanwhile; try again.")
            try:
                if not self._reader.is_current:
                    await asyncio.to_thread(self._reader.refresh)
                return self._reader.view
            finally:
                self._close_if_asked()

    def close(self) -> None:
        self._closed = True
        if not self._turn.locked():
            self._close_if_asked()

    def _close_if_asked(self) -> None:
        if self._closed:
            self._reader.close()


def _any_gone(followed: "Sequence[_FollowedShard]") -> bool:
    return any(one.is_gone for one in followed)


def _note_outcome(task: "asyncio.Task[Any]") -> None:
    """Look at how a task ended, so that asyncio does not complain when its caller is gone."""
    if not task.cancelled():
        task.exception()
