"""Opens a shard however its last owner ended; rebuilds it from the table when its derived files are bad."""

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import structlog

from storage import files, shard
from storage.log import WriteLog
from storage.manifest import Manifest, manifest_generations, manifest_path, publish_manifest, read_manifest
from storage.reader import open_view
from storage.segment_files import write_segment
from storage.view import ShardView
from vectoray.core.errors import CorruptData

if TYPE_CHECKING:
    from storage.table import PointTable

_logger = structlog.get_logger(__name__)


def recover(directory: Path, spec: shard.ShardSpec, log: WriteLog) -> tuple[Manifest, ShardView]:
    """The current manifest, and the state after the last write that reached the log.

    Raises:
        CorruptData: The log, or the table where it is needed, cannot give back every acknowledged write.
    """
    for name in (shard.LOG, shard.SEGMENTS, shard.DEAD):
        files.make_dir_durable(directory / name)
        # The last owner may have been killed between giving a name and making it durable. What this one
        # shows to others must not be gone after a loss of power.
        files.fsync_dir(directory / name)
    files.fsync_dir(directory)
    _remove_unfinished(directory)
    try:
        manifest, view = open_intact(directory, spec, log)
    except CorruptData as error:
        _logger.warning("shard_rebuild_started", reason=error.message)
        manifest, view = _rebuild(directory, spec, log)
        _logger.warning("shard_rebuild_finished", points=view.head.points)
    remove_unnamed(directory, manifest)
    return manifest, view


def remove_unnamed(directory: Path, manifest: Manifest) -> None:
    """Remove segments and dead rows that the manifest does not name. Mapped files outlive their names."""
    for path in (directory / shard.SEGMENTS).iterdir():
        if path.name not in manifest.segments:
            shutil.rmtree(path)
    for path in (directory / shard.DEAD).iterdir():
        if path.name not in manifest.dead.values():
            path.unlink()


def open_table(directory: Path, spec: shard.ShardSpec, *, epoch: int, keep_versions_s: float) -> "PointTable":
    """The shard's table, for writing; one that cannot be read is put aside and begun anew, empty.

    What the table holds is in the live points too, so a new one is filled from them.

    Raises:
        ShardLocked: A later owner has it.
    """
    # Lance takes 100 MB and most of a second: a process that never flushes should not pay it.
    from storage.table import PointTable  # noqa: PLC0415

    folder = directory / shard.TABLE
    try:
        return PointTable(folder, spec.dimension, epoch=epoch, keep_versions_s=keep_versions_s)
    except CorruptData as error:
        _logger.warning("table_put_aside", reason=error.message)
        place = shard.new_quarantine(directory)
        folder.rename(place / folder.name)
        files.fsync_dir(place)
        return PointTable(folder, spec.dimension, epoch=epoch, keep_versions_s=keep_versions_s)


def open_intact(directory: Path, spec: shard.ShardSpec, log: WriteLog) -> tuple[Manifest, ShardView]:
    """As `recover`, but nothing is mended, and nothing is changed.

    Raises:
        CorruptData: Something is damaged.
    """
    generations = manifest_generations(directory)
    # A table that was put aside says nothing of the manifests.
    put_aside = {path.name for path in (directory / shard.QUARANTINE).glob("*/*")}
    if not generations and shard.SEGMENTS in put_aside:
        raise CorruptData("A rebuild of the shard was cut short.")
    manifest = read_manifest(directory, generations[0]) if generations else Manifest()
    view, _ = open_view(directory, spec, manifest, verify=True)
    for records in log.read_after(manifest.sealed_seq):
        view.apply(records)
    if view.head.seq < manifest.flushed_seq:
        # The table has them; going on would give their numbers to other writes.
        raise CorruptData(f"The write log ends before write {manifest.flushed_seq}.")
    return manifest, view


def _rebuild(directory: Path, spec: shard.ShardSpec, log: WriteLog) -> tuple[Manifest, ShardView]:
    """One segment from the table, then the log after it.

    The table may hold rows of later writes than it is complete through, left by a flush that was cut short:
    replaying the log brings each of their ids back to an older state, and then forward again to its last.
    """
    # Opened for reading only: whatever comes of the rebuild, the table stays as it is.
    from storage.table_read import read_live_points  # noqa: PLC0415

    flushed_seq, epoch, rows = read_live_points(directory / shard.TABLE, spec.dimension)
    # Read to the end before anything is changed: the log may turn out to be damaged too.
    last_ms = max((int(records.updated_ms[-1]) for records in log.read_after(flushed_seq)), default=0)
    generations = manifest_generations(directory)
    _quarantine(directory, generations)
    # Numbers of segments are not used twice: readers may still map the old ones by name.
    number = time.time_ns() // 1_000_000
    names: tuple[str, ...] = ()
    if rows is not None and len(rows):
        names = (f"{number:08d}",)
        # Its graph is built once the shard is open: searches need not wait for it.
        write_segment(
            directory / shard.SEGMENTS / names[0],
            rows,
            metric=spec.metric,
            options=spec.index,
            with_graph=False,
        )
        last_ms = max(last_ms, int(np.max(rows.updated_ms)))
    manifest = Manifest(
        generation=max(generations, default=0) + 1,
        # No manifest may be left that says it; the table knows of every owner that has written to it.
        epoch=epoch,
        sealed_seq=flushed_seq,
        flushed_seq=flushed_seq,
        segments=names,
        next_segment=number + 1,
        last_write_ms=last_ms,
    )
    publish_manifest(directory, manifest)
    view, _ = open_view(directory, spec, manifest, verify=True)
    for records in log.read_after(flushed_seq):
        view.apply(records)
    return manifest, view


def _quarantine(directory: Path, generations: list[int]) -> None:
    """Put away what could not be read, for a person to look at; nothing is deleted."""
    place = shard.new_quarantine(directory)
    moved = [manifest_path(directory, generation) for generation in generations]
    moved += [directory / shard.SEGMENTS, directory / shard.DEAD]
    for path in moved:
        path.rename(place / path.name)
    for name in (shard.SEGMENTS, shard.DEAD):
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
