"""Which shard holds a point, and which host holds a shard. Pure functions."""

from collections.abc import Sequence

import xxhash

from storage.records import hash_id
from vectoray.core.model import PointBatch


def shard_of(point_id: str, shards: int) -> int:
    """The shard of a point. It depends on the id and the number of shards alone, for ever."""
    return hash_id(point_id) % shards


def split_rows(ids: Sequence[str], shards: int) -> dict[int, list[int]]:
    """For each shard that is concerned, the rows of ``ids`` that belong to it, in order."""
    rows: dict[int, list[int]] = {}
    for row, point_id in enumerate(ids):
        rows.setdefault(shard_of(point_id, shards), []).append(row)
    return rows


def split_batch(batch: PointBatch, shards: int) -> dict[int, PointBatch]:
    """A batch as one batch for each shard that is concerned."""
    if shards == 1:
        return {0: batch}
    return {shard: batch.take(rows) for shard, rows in split_rows(batch.ids, shards).items()}


def host_of(collection_id: str, shard: int, hosts: int) -> int:
    """The host of a shard, by rendezvous hashing: another host takes only its share, from all evenly.

    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998).
    """
    key = f"{collection_id}/{shard}/"
    return max(range(hosts), key=lambda host: xxhash.xxh3_64_intdigest(f"{key}{host}".encode()))
