"""Opens a shard however its last owner ended; rebuilds it from the table when its derived files are bad."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from storage import files, shard
from storage.log import WriteLog
from storage.manifest import Manifest, manifest_generations, manifest_path, publish_manifest, read_manifest
from storage.reader import open_view
from storage.segment import build_segment
from storage.view import ShardView
from vectoray.core.errors import CorruptData

if TYPE_CHECKING:
    from storage.table import PointTable

_logger = structlog.get_logger(__name__)


def recover(
    directory: Path, spec: shard.ShardSpec, log: WriteLog, open_table: Callable[[], "PointTable"]
) -> tuple[Manifest, ShardView]:
    """The current manifest, and the state after the last write that reached the log.

    Raises:
        CorruptData: The log, or the table where it is needed, cannot give back every acknowledged write.
    """
    _remove_unfinished(directory)
    try:
        manifest, view = _open(directory, spec, log)
    except CorruptData as error:
        _logger.warning("shard_rebuild_started", reason=error.message)
        manifest, view = _rebuild(directory, spec, log, open_table)
        _logger.warning("shard_rebuild_finished", points=view.head.points)
    return manifest, view


def _open(directory: Path, spec: shard.ShardSpec, log: WriteLog) -> tuple[Manifest, ShardView]:
    generations = manifest_generations(directory)
    manifest = read_manifest(directory, generations[0]) if generations else Manifest()
    view, _ = open_view(directory, spec, manifest, verify=True)
    for records in log.read_after(manifest.sealed_seq):
        view.apply(records)
    return manifest, view


def _rebuild(
    directory: Path, spec: shard.ShardSpec, log: WriteLog, open_table: Callable[[], "PointTable"]
) -> tuple[Manifest, ShardView]:
    """One segment from the table, then the whole log over it.

    The log holds every write that is not in the table, and may begin with some that are: replaying those
    first brings each of their ids back to an older state, and then forward again to its last.
    """
    oldest = log.oldest_seq()
    batches = list(log.read_after(oldest - 1))
    table = open_table()
    if oldest > table.flushed_seq + 1:
        raise CorruptData(
            f"Writes {table.flushed_seq + 1} to {oldest - 1} are neither in the log nor in the table."
        )
    rows = table.read_all()
    generations = manifest_generations(directory)
    _quarantine(directory, generations)
    names: tuple[str, ...] = ()
    start = batches[0].first_seq - 1 if batches else table.flushed_seq
    # Numbers of segments are not reused: readers may still map the old ones by name.
    number = time.time_ns() // 1_000_000
    if len(rows):
        names = (f"{number:08d}",)
        build_segment(directory / shard.SEGMENTS / names[0], rows, metric=spec.metric, options=spec.index)
    manifest = Manifest(
        generation=max(generations, default=0) + 1,
        sealed_seq=start,
        flushed_seq=start,
        segments=names,
        next_segment=number + 1,
    )
    publish_manifest(directory, manifest)
    view, _ = open_view(directory, spec, manifest, verify=True)
    for records in batches:
        view.apply(records)
    return manifest, view


def _quarantine(directory: Path, generations: list[int]) -> None:
    """Put away what could not be read, for a person to look at; nothing is deleted."""
    place = directory / shard.QUARANTINE / str(time.time_ns())
    files.make_dir_durable(place)
    for generation in generations:
        path = manifest_path(directory, generation)
        path.rename(place / path.name)
    for name in (shard.SEGMENTS, shard.DEAD):
        (directory / name).rename(place / name)
        files.make_dir_durable(directory / name)
    files.fsync_dir(place)
    files.fsync_dir(directory)


def _remove_unfinished(directory: Path) -> None:
    """Remove what was being written when the last owner ended: it was never published under its name."""
    for folder in (directory, directory / shard.LOG, directory / shard.SEGMENTS, directory / shard.DEAD):
        for path in folder.glob(files.TEMPORARY_PREFIX + "*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
