"""Copies a collection's shards, all as of one moment, to a folder or a bucket; checks and restores copies.

A snapshot is ``shard-0000/...`` and so on, each a shard's own files without its table, and ``snapshot.json``,
which names every file with its size and its XXH3-64 checksum. It is written last: what lacks it is no
snapshot.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from storage import files, shard
from storage.log import WriteLog
from storage.manifest import Manifest, publish_manifest
from storage.recovery import open_intact, open_table
from storage.settings import StorageSettings
from storage.snapshot_store import Location, SnapshotStore, Write, open_store
from storage.view import ShardView
from storage.writer import ShardWriter
from vectoray.core.errors import CorruptData, InvalidRequest

_log = structlog.get_logger(__name__)

_DESCRIPTION = "snapshot.json"
_FORMAT = 3
# Descriptions are not trusted with paths: what is restored stays inside the shard's folder.
_PATH = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]*/)*[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """One file of a shard.

    Attributes:
        path: Relative to the shard's folder, parts separated by ``/``.
        checksum: XXH3-64, as hex.
    """

    path: str
    size_bytes: int
    checksum: str


@dataclass(frozen=True, slots=True)
class ShardSnapshot:
    """One shard as it was.

    Attributes:
        seq: Its last write.
        generation: Of its manifest; 0 when it had none yet.
        points: How many were live.
    """

    seq: int
    generation: int
    points: int
    files: tuple[SnapshotFile, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot holds.

    Attributes:
        created_ms: Unix time at which the shards were as they are in it, in milliseconds.
        collection: What whoever made it said about the collection: JSON values.
        shards: In the order of their numbers.
    """

    created_ms: int
    collection: Mapping[str, Any]
    shards: tuple[ShardSnapshot, ...]

    @property
    def points(self) -> int:
        """Live points over all shards."""
        return sum(part.points for part in self.shards)

    @property
    def size_bytes(self) -> int:
        """Of all files but the description."""
        return sum(file.size_bytes for part in self.shards for file in part.files)


def snapshot(
    writers: Sequence[ShardWriter], destination: Location, *, collection: Mapping[str, Any]
) -> Snapshot:
    """Copy shards, all as of one moment, while they go on working.

    Whatever was acknowledged before the call is in it; and with each write also every write, of any shard,
    that was acknowledged before that one was begun.

    Args:
        writers: Every shard of the collection, in the order of their numbers.
        destination: A path, or a URI of `storage.snapshot_store`; nothing may lie there.
        collection: What a restore should know of the collection: JSON values, no secrets.

    Raises:
        Conflict: Something lies at the destination already.
        CorruptData: A shard's file is damaged; opening the shard anew mends it, or says why it cannot.
        InvalidRequest: The destination cannot be used.
        StorageFull, Unavailable, InternalError: Of the disk, the bucket, or a shard that is closed or broken.
    """
    about = json.loads(json.dumps(dict(collection)))
    store = open_store(destination)
    with files.disk_errors("making a snapshot"), ExitStack() as links, store.draft() as write:
        created_ms, linked = _link(writers, links)
        parts = [_copy(shard_links, number, write) for number, shard_links in enumerate(linked)]
        made = Snapshot(created_ms, about, tuple(parts))
        write(_DESCRIPTION, [files.encode_json({"format": _FORMAT, **asdict(made)})])
    _log.info("snapshot_made", shards=len(parts), points=made.points, size_bytes=made.size_bytes)
    return made


def read_snapshot(source: Location) -> Snapshot:
    """What the snapshot in this place holds, by its own description.

    Raises:
        SnapshotNotFound: There is none, or none that was finished.
        CorruptData: Its description is damaged, or of a later format.
    """
    return _read(open_store(source))


def verify_snapshot(source: Location) -> Snapshot:
    """As `read_snapshot`, once every file has been read and found as it was written.

    Raises:
        SnapshotNotFound: There is none, or none that was finished.
        CorruptData: A file is missing, damaged, or not part of it.
    """
    store = open_store(source)
    found = _read(store)
    _check_sizes(found, store)
    for number, part in enumerate(found.shards):
        for file in part.files:
            _same(file, files.checksum_blocks(store.read(_in_snapshot(number, file.path))))
    return found


def restore(source: Location, directories: Sequence[Path]) -> Snapshot:
    """Make new shards of a snapshot, with their tables filled. They appear when all of them are complete.

    A crash leaves none of them, or, in the moment at the end in which they appear, some.

    Args:
        source: Where the snapshot lies.
        directories: For each of its shards, the folder to make; one that is there must be empty.

    Raises:
        SnapshotNotFound: There is no snapshot, or none that was finished.
        CorruptData: A file of it is missing, damaged, or not part of it.
        InvalidRequest: It has another number of shards.
        Conflict: A folder holds something already.
        StorageFull, Unavailable, InternalError: Of the disk or the bucket.
    """
    store = open_store(source)
    found = _read(store)
    if len(found.shards) != len(directories) or len(set(directories)) != len(directories):
        raise InvalidRequest(f"The snapshot has {len(found.shards)} shards, and needs a new folder for each.")
    _check_sizes(found, store)
    with files.disk_errors("restoring a snapshot"), ExitStack() as undo:
        for directory in directories:
            files.refuse_if_taken(directory)
        staged = []
        for number, (part, directory) in enumerate(zip(found.shards, directories, strict=True)):
            files.make_dir_durable(directory.parent)
            folder = files.make_temporary_dir(directory.parent)
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            _fill(folder, number, part, store)
            staged.append(folder)
        for folder, directory in zip(staged, directories, strict=True):
            files.publish_new_dir(folder, directory)
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
        undo.pop_all()
    _log.info("snapshot_restored", shards=len(found.shards), points=found.points)
    return found


# Making one.


@dataclass(frozen=True, slots=True)
class _Links:
    """A shard as it was: a folder with a second name for each of its files, and how many points it had."""

    folder: Path
    files: Sequence[Path]
    points: int


def _link(writers: Sequence[ShardWriter], links: ExitStack) -> tuple[int, list[_Links]]:
    """A second name for every file, in a folder of each shard that ``links`` removes; and when that was."""
    folders = []
    for writer in writers:
        # Inside the shard: the same disk, and the next owner removes it after a crash.
        folders.append(files.make_temporary_dir(writer.directory))
        links.callback(shutil.rmtree, folders[-1], ignore_errors=True)
    began_s = time.monotonic()
    with ExitStack() as holds:
        # In an order that does not depend on the caller's: or two could wait for each other in a circle.
        in_order = sorted(writers, key=lambda writer: writer.directory)
        held = {writer.directory: holds.enter_context(writer.hold()) for writer in in_order}
        created_ms = time.time_ns() // 1_000_000
        linked = []
        for writer, folder in zip(writers, folders, strict=True):
            paths = held[writer.directory]
            for name in {path.parent for path in paths}:
                (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in paths:
                os.link(writer.directory / path, folder / path)
            linked.append(_Links(folder, paths, writer.stats().points))
    _log.info("snapshot_linked", held_ms=round(1000 * (time.monotonic() - began_s), 1))
    return created_ms, linked


def _copy(links: _Links, number: int, write: Write) -> ShardSnapshot:
    # Opened as the shard they are: damage would be found out too late by whoever needs the copy.
    manifest, view = _open(links.folder)
    if view.head.points != links.points:
        raise CorruptData("A shard's files do not hold what the shard holds.")
    copied = [_copy_file(links.folder, path.as_posix(), number, write) for path in links.files]
    return ShardSnapshot(view.head.seq, manifest.generation, view.head.points, tuple(copied))


def _open(folder: Path) -> tuple[Manifest, ShardView]:
    for name in (shard.LOG, shard.SEGMENTS, shard.DEAD):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    return open_intact(folder, shard.read_spec(folder), WriteLog(folder / shard.LOG))


def _copy_file(folder: Path, path: str, number: int, write: Write) -> SnapshotFile:
    write(_in_snapshot(number, path), files.read_blocks(folder / path))
    # Of the shard's file, not of the bytes on their way: what goes wrong on the way is found, too.
    return SnapshotFile(path, (folder / path).stat().st_size, files.checksum_file(folder / path))


# Reading one.


def _read(store: SnapshotStore) -> Snapshot:
    value: Any = files.decode_json(b"".join(store.read(_DESCRIPTION)))
    if value.get("format") != _FORMAT:
        raise CorruptData("A snapshot has a format that this version does not read.")
    try:
        found = Snapshot(
            created_ms=int(value["created_ms"]),
            collection=dict(value["collection"]),
            shards=tuple(
                ShardSnapshot(
                    seq=int(part["seq"]),
                    generation=int(part["generation"]),
                    points=int(part["points"]),
                    files=tuple(SnapshotFile(**file) for file in part["files"]),
                )
                for part in value["shards"]
            ),
        )
        intact = all(_PATH.fullmatch(file.path) for part in found.shards for file in part.files)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData("A snapshot's description lacks a field.") from error
    if not intact:
        raise CorruptData("A snapshot's description names a file that no shard has.")
    return found


def _check_sizes(found: Snapshot, store: SnapshotStore) -> None:
    """Refuse, before anything is read, what is missing, cut short, or not part of it."""
    expected = {
        _in_snapshot(number, file.path): file.size_bytes
        for number, part in enumerate(found.shards)
        for file in part.files
    }
    sizes = store.sizes()
    sizes.pop(_DESCRIPTION, None)
    if sizes != expected:
        missing, extra = len(expected.keys() - sizes.keys()), len(sizes.keys() - expected.keys())
        other = sum(sizes.get(name, size) != size for name, size in expected.items())
        raise CorruptData(
            f"The snapshot is damaged: {missing} files are missing, {other} have another size, "
            f"and {extra} are not part of it."
        )


def _same(file: SnapshotFile, checksum: str) -> None:
    if checksum != file.checksum:
        raise CorruptData("The snapshot is damaged: a file does not match its checksum.")


def _in_snapshot(number: int, path: str) -> str:
    return f"shard-{number:04d}/{path}"


# Restoring one.


def _fill(folder: Path, number: int, part: ShardSnapshot, store: SnapshotStore) -> None:
    """Make a shard in a folder that is not in its place yet."""
    for file in part.files:
        (folder / file.path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_blocks(folder / file.path, store.read(_in_snapshot(number, file.path)))
        _same(file, files.checksum_file(folder / file.path))
    if not shard.shard_exists(folder):
        raise CorruptData("The snapshot is damaged: a shard has no description.")
    manifest, view = _open(folder)
    if (view.head.seq, view.head.points) != (part.seq, part.points):
        raise CorruptData("The snapshot is damaged: a shard does not hold what its description says.")
    _fill_table(folder, manifest, view)


def _fill_table(folder: Path, manifest: Manifest, view: ShardView) -> None:
    """Write what the shard holds to its table, and say so in its manifest.

    The manifest of the snapshot speaks of a table that stayed behind. Without one, a damaged segment could
    not be rebuilt.
    """
    filled = replace(
        manifest,
        generation=manifest.generation + 1,
        flushed_seq=view.head.seq,
        adopted=(),
    )
    keep_s = StorageSettings().table_versions_keep_s
    table = open_table(folder, shard.read_spec(folder), epoch=filled.epoch, keep_versions_s=keep_s)
    table.rewrite(view.live_rows(), view.head.seq)
    publish_manifest(folder, filled)
