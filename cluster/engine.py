"""What a collection of shards can do, wherever they live, and what their hosts do for it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cluster.writes import Write
from storage.listing import Listing, ScanStep
from vectoray.core.filters import Filter
from vectoray.core.hybrid import Candidate, HybridQuery
from vectoray.core.model import (
    Collection,
    CollectionStats,
    Point,
    PointBatch,
    SearchQuery,
    SearchResult,
    WriteMode,
    WriteResult,
)


class Engine(Protocol):
    """Writes, reads and searches of whole collections.

    Callers have checked rights, limits and dimensions. Every method may raise an
    `vectoray.core.errors.Unavailable`; none ever answers from only some of the shards.
    """

    def place(self, collection_id: str, shards: int) -> tuple[int, ...]:
        """For each shard of a new collection, the number of the host that shall own it."""

    async def create(self, collection: Collection) -> None:
        """Make the collection's empty shards. Shards that are there already are left as they are."""

    async def drop(self, collection: Collection) -> None:
        """Remove the collection's shards and their data. Shards that are gone already are no error."""

    async def write(
        self,
        collection: Collection,
        batch: PointBatch,
        mode: WriteMode = WriteMode.UPSERT,
        *,
        atomic: bool = True,
        expected_seqs: npt.NDArray[np.uint64] | None = None,
    ) -> WriteResult:
        """Write points durably.

        A batch spreads over several shards, and each decides about its part alone: what one refuses, or fails
        to write, others may have written.

        Args:
            collection: Where to.
            batch: What to write.
            mode: What becomes of ids that are there already, or are not.
            atomic: Whether one refused row refuses all rows of its shard.
            expected_seqs: uint64, shape (n,): refuses rows whose id was last written by another write, see
                `Point.seq` (0: is there). None: any.

        Returns:
            How many rows were written, and the positions in ``batch`` of the rows for which others were not.

        Raises:
            InvalidRequest: There are not as many expected sequence numbers as rows.
        """

    async def delete(self, collection: Collection, ids: Sequence[str]) -> list[str]:
        """Delete points durably. Returns the ids that existed, in the order asked."""

    async def delete_matching(self, collection: Collection, condition: Filter) -> list[str]:
        """Delete the points whose payload meets a condition durably. Returns their ids, in no order.

        Each shard does so as of its own moment: a point written meanwhile may be left.
        """

    async def get(self, collection: Collection, ids: Sequence[str]) -> list[Point | None]:
        """The points with these ids, in the order asked; None where there is none."""

    async def search(self, collection: Collection, query: SearchQuery) -> SearchResult:
        """The best ``query.top_k`` points, best first, ties broken by id."""

    async def hybrid(self, collection: Collection, query: HybridQuery) -> SearchResult:
        """The best ``query.top_k`` points by vector and text, as `vectoray.core.fusion.fuse` ranks them."""

    async def page(
        self, collection: Collection, *, skip: int, limit: int, condition: Filter | None = None
    ) -> tuple[list[Point], int]:
        """Points, newest first: by the time when their ids were made, then by id.

        It costs each shard about what ``skip + limit`` ids cost; to read everything, there is `scan`.

        Args:
            collection: Where to look.
            skip: How many to leave out at the beginning.
            limit: How many at most.
            condition: Only points whose payload meets it.

        Returns:
            The points, and how many there are without ``skip`` and ``limit``. A point that is deleted while
            the page is read is missing in it.
        """

    def scan(
        self, collection: Collection, *, batch_rows: int, condition: Filter | None = None
    ) -> AsyncIterator[list[Point]]:
        """Every point once, in batches of about ``batch_rows``: one shard after the other, by hash of the id.

        With a condition, only points that meet it when their batch is read.

        It is no snapshot: a point that is written meanwhile comes as it was, as it is, or not at all if it is
        new or deleted; one that was there all the time is never missed, and no id comes twice.
        """

    async def load(self, collection: Collection, job: str, part: str, batch: PointBatch) -> None:
        """Write a part of a bulk load durably, with its index, past the log; replaces what has its ids.

        Exactly once, however often it is asked for: each shard notes which parts it has. Each shard takes all
        of its rows of the part or none, those that it had before as well; if one fails, ask again. There are
        no events of it. See docs/adr/0015-bulk-loads.md.

        Args:
            collection: Where to.
            job: Names the load.
            part: Names a part of it, which always has the same rows.
            batch: The rows, thousands at best: each shard makes a segment of its own. Of an id that is there
                twice, the later row counts.
        """

    async def loaded_parts(self, collection: Collection, job: str) -> frozenset[str]:
        """The parts of a bulk load that every shard has."""

    async def end_load(self, collection: Collection, job: str) -> None:
        """Forget which parts a bulk load has, and remove what its failed attempts left.

        Parts that come afterwards are those of a new load. A load that is not ended is forgotten a week after
        its last part.
        """

    async def stats(self, collections: Sequence[Collection]) -> list[CollectionStats | None]:
        """How full each collection is, in the order asked; None where a shard does not answer."""

    async def optimize(self, collection: Collection) -> None:
        """Begin to index and merge all that is written, so that searches become as quick as they can be.

        Returns at once; it takes minutes where there is much. How far it is, and whether it failed, is in the
        hosts' metrics and logs alone. What does not come to its end, as the process ends, is done as shards
        rest, or when asked for again. Asked for while it is under way, nothing more begins.
        """

    async def close(self) -> None:
        """Release what the engine holds. Acknowledged writes are safe without it."""


class ShardHost(Protocol):
    """Owner of some shards, in this process or elsewhere: what an engine fans out to.

    ``shards`` are numbers of shards of the collection that this host owns.
    """

    async def create(self, collection: Collection, shards: Sequence[int]) -> None:
        """Make empty shards; those that are there are left as they are."""

    async def drop(self, collection: Collection, shards: Sequence[int]) -> None:
        """Close shards and remove their data; those that are gone are no error."""

    async def open(self, collection: Collection, shards: Sequence[int]) -> str | None:
        """Own shards from now on, so that others may follow them by their files.

        Returns:
            The node where the files lie; None if nobody else may read them.
        """

    async def write(self, collection: Collection, parts: Mapping[int, Write]) -> dict[int, WriteResult]:
        """Write each shard's part durably. Returns what became of each."""

    async def delete(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[str]:
        """Delete ids from their shards durably. Returns those that existed."""

    async def delete_matching(
        self, collection: Collection, shards: Sequence[int], condition: Filter
    ) -> list[str]:
        """Delete the points of these shards whose payload meets a condition. Returns their ids."""

    async def get(self, collection: Collection, parts: Mapping[int, Sequence[str]]) -> list[Point]:
        """The points that exist among each shard's ids."""

    async def search(self, collection: Collection, shards: Sequence[int], query: SearchQuery) -> SearchResult:
        """The best hits over these shards."""

    async def hybrid(
        self, collection: Collection, shards: Sequence[int], query: HybridQuery
    ) -> list[Candidate]:
        """What `vectoray.core.fusion.fuse` needs of these shards."""

    async def newest(
        self, collection: Collection, shards: Sequence[int], count: int, condition: Filter | None
    ) -> Listing:
        """The first ``count`` points over these shards, as `storage.listing.newest`."""

    async def scan(
        self,
        collection: Collection,
        shard: int,
        start_hash: int,
        count: int,
        condition: Filter | None,
    ) -> ScanStep:
        """One step through a shard, as `storage.listing.scan`."""

    async def write_fragment(
        self, collection: Collection, shard: int, job: str, part: str, batch: PointBatch
    ) -> str:
        """As `storage.bulk.write_fragment`, for a worker that has no part of the shard's disk.

        Returns:
            The fragment, by its place below the shard's folder.
        """

    async def commit_fragments(
        self, collection: Collection, job: str, part: str, fragments: Mapping[int, Sequence[str]]
    ) -> None:
        """Make a part visible in each shard, as `storage.writer.ShardWriter.commit_fragments`."""

    async def loaded_parts(
        self, collection: Collection, shards: Sequence[int], job: str
    ) -> list[frozenset[str]]:
        """The parts of a bulk load that each of these shards has."""

    async def end_load(self, collection: Collection, shards: Sequence[int], job: str) -> None:
        """As `Engine.end_load`, for these shards."""

    async def stats(
        self, collections: Sequence[tuple[Collection, Sequence[int]]]
    ) -> list[CollectionStats | None]:
        """How full these shards are, summed for each collection; None where one cannot be opened."""

    async def optimize(self, collection: Collection, shards: Sequence[int]) -> None:
        """As `Engine.optimize`, for these shards."""

    async def close(self) -> None:
        """Close every shard."""
