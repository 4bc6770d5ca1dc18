"""Which shard holds a point, which host holds a shard, and in which folder. Pure functions."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import xxhash

from storage.records import hash_id


def shard_of(point_id: str, shards: int) -> int:
    """The shard of a point. It depends on the id and the number of shards alone, for ever."""
    return hash_id(point_id) % shards


def split_rows(ids: Sequence[str], shards: int) -> dict[int, list[int]]:
    """For each shard that is concerned, the rows of ``ids`` that belong to it, in order."""
    rows: dict[int, list[int]] = {}
    for row, point_id in enumerate(ids):
        rows.setdefault(shard_of(point_id, shards), []).append(row)
    return rows


def split_ids(ids: Sequence[str], shards: int) -> dict[int, list[str]]:
    """For each shard that is concerned, the ids that belong to it, in order."""
    return {shard: [ids[row] for row in rows] for shard, rows in split_rows(ids, shards).items()}


def place(collection_id: str, shards: int, hosts: int) -> tuple[int, ...]:
    """For each shard the number of its host, by rendezvous hashing.

    With another number of hosts, as few shards as possible have another one, and those come from all evenly.
    Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998).
    """
    return tuple(
        max(
            range(hosts),
            key=lambda host: xxhash.xxh3_64_intdigest(f"{collection_id}/{shard}/{host}".encode()),
        )
        for shard in range(shards)
    )


@lru_cache(maxsize=4096)
def shards_by_host(hosts: tuple[int, ...]) -> Mapping[int, Sequence[int]]:
    """For each host of a collection, the shards that it owns."""
    shards: dict[int, list[int]] = {}
    for shard, host in enumerate(hosts):
        shards.setdefault(host, []).append(shard)
    return {host: tuple(owned) for host, owned in shards.items()}


def shard_directory(data_dir: Path, collection_id: str, shard: int) -> Path:
    """Where a shard lies on the node that has it."""
    return data_dir / "collections" / collection_id / f"shard-{shard:04d}"
