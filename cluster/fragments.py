"""Fragments of bulk loads, written by whichever process is on the node that has the shard's disk."""

from pathlib import Path

from cluster.placement import shard_directory
from storage import bulk, files
from storage.shard import shard_exists
from vectoray.core.errors import ShardUnavailable
from vectoray.core.model import Collection, PointBatch


def is_here(data_dir: Path, collection: Collection, shard: int) -> bool:
    """Whether a shard lies in a data folder."""
    return shard_exists(shard_directory(data_dir, collection.id, shard))


def write_fragment(  # noqa: PLR0917
    data_dir: Path, collection: Collection, shard: int, job: str, part: str, batch: PointBatch
) -> str:
    """Write a fragment into a shard's folder, while its owner has it open. Takes seconds, and a whole core.

    Returns:
        The fragment, by its place below the shard's folder.

    Raises:
        DimensionMismatch, InvalidRequest: The batch does not fit the shard.
        ShardUnavailable: The shard is not in this data folder.
        InternalError, StorageFull: The disk refused.
    """
    directory = shard_directory(data_dir, collection.id, shard)
    if not shard_exists(directory):
        raise ShardUnavailable(
            f"Shard {shard} of the collection is not where it should be.", {"shard": shard}
        )
    with files.disk_errors("writing a part of a bulk load"):
        return str(bulk.write_fragment(directory, job, part, batch).relative_to(directory))
