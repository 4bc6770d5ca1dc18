"""Which versions of a shard's table lie in its folder, which of them can be read, and what each one holds.

Lance keeps one manifest for each version, ``_versions/<2^64 - 1 - version>.manifest``, and no checksum of it:
opened as "the newest", one of nothing but zeros is an empty table. Asked for by its number it is an error, so
that is how versions are opened here; and one counts as readable only if its files are there in full.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lance
import structlog

from storage import files, shard
from vectoray.core.errors import CorruptData, VersionNotFound

NAME = "points"
FLUSHED_SEQ = "vectoray.flushed_seq"
FLUSHED_MS = "vectoray.flushed_ms"
FLUSHED_VERSION = "vectoray.flushed_version"
OWNER_EPOCH = "vectoray.owner_epoch"
# What Lance raises, for a full disk and for a damaged file alike.
LANCE_ERRORS = (OSError, ValueError, RuntimeError)

_log = structlog.get_logger(__name__)

_MANIFEST = re.compile(r"(\d{20})\.manifest")
_LAST_NUMBER = 2**64 - 1
# At the end of every Lance file.
_MAGIC = b"LANC"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A version that holds exactly the points that were live after one write.

    Attributes:
        created: When it was complete, in UTC.
        flushed_seq: The write.
        rows: Points in it.
    """

    version: int
    created: datetime
    flushed_seq: int
    rows: int


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Let a panic of Lance be one of `LANCE_ERRORS`: it relies on what some damaged files say.

    Raises:
        RuntimeError: It panicked. That is no `Exception` by itself, and has no class that could be imported.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError("Lance panicked.") from error


def table_exists(directory: Path) -> bool:
    """Whether a table lies in this folder. One without a version is one whose making was cut short."""
    return bool(version_numbers(directory))


def version_numbers(directory: Path) -> list[int]:
    """Versions whose manifest is there, readable or not, newest first."""
    folder = _table_path(directory) / "_versions"
    if not folder.is_dir():
        return []
    matches = (_MANIFEST.fullmatch(path.name) for path in folder.iterdir())
    return sorted((_LAST_NUMBER - int(match[1]) for match in matches if match), reverse=True)


def manifest_path(directory: Path, version: int) -> Path:
    """Where the manifest of a version lies."""
    return _table_path(directory) / "_versions" / f"{_LAST_NUMBER - version:020d}.manifest"


def open_version(directory: Path, version: int) -> Any:
    """One version, as a Lance dataset.

    Raises:
        CorruptData: Its manifest cannot be read, or is gone.
    """
    try:
        # Lance opens a manifest without its last bytes, but then cannot clean up beside it.
        if not manifest_path(directory, version).read_bytes().endswith(_MAGIC):
            raise ValueError("no magic number at the end")
        with panics_as_errors():
            return lance.dataset(str(_table_path(directory)), version=version)
    except LANCE_ERRORS as error:
        raise CorruptData(f"Version {version} of the shard's table cannot be read.") from error


def readable_versions(directory: Path) -> Iterator[Any]:
    """The versions whose manifest can be read and whose files are there in full, newest first.

    A file's length is compared, not its content, which Lance has no checksum for.
    """
    for version in version_numbers(directory):
        try:
            dataset = open_version(directory, version)
            _check_files(directory, dataset)
        except CorruptData as error:
            _log.warning("table_version_unreadable", version=version, reason=error.message)
        else:
            yield dataset


def open_newest(directory: Path) -> Any:
    """The newest readable version; manifests of newer ones are put aside, and so are unreadable older ones.

    After this Lance itself opens that version, and gives the numbers of the others anew.

    Raises:
        CorruptData: None can be read; nothing was changed.
    """
    dataset = next(readable_versions(directory), None)
    if dataset is None:
        raise CorruptData("No version of the shard's table can be read.")
    newer = [version for version in version_numbers(directory) if version > dataset.version]
    put_aside_unreadable(directory, used=int(dataset.version), also=newer)
    return dataset


def put_aside_unreadable(directory: Path, *, used: int, also: Sequence[int] = ()) -> None:
    """Move manifests that cannot be read into the shard's quarantine, durably. Lance's cleanup fails on them.

    Args:
        directory: The folder of the table.
        used: The version in use, for the log.
        also: Versions to put aside whether their manifest can be read or not.
    """
    unreadable = [*also]
    for version in version_numbers(directory):
        try:
            if version not in also:
                open_version(directory, version)
        except CorruptData:
            unreadable.append(version)
    if not unreadable:
        return
    place = shard.new_quarantine(directory.parent)
    for version in unreadable:
        manifest = manifest_path(directory, version)
        manifest.rename(place / manifest.name)
    files.fsync_dir(place)
    files.fsync_dir(manifest_path(directory, used).parent)
    _log.warning("table_versions_put_aside", versions=sorted(unreadable), used=used)


def flushed_seq(dataset: Any) -> int:
    """The write up to which a version is complete; it may hold some of later writes, too."""
    return int(dataset.config().get(FLUSHED_SEQ, 0))


def owner_epoch(dataset: Any) -> int:
    """The epoch of the owner that wrote a version; 0 if it has none."""
    return int(dataset.config().get(OWNER_EPOCH, 0))


def completed(seq: int, version: int, epoch: int) -> dict[str, str]:
    """The configuration that says that ``version`` is the state after write ``seq``, reached just now."""
    return {
        FLUSHED_SEQ: str(seq),
        FLUSHED_MS: str(time.time_ns() // 1_000_000),
        FLUSHED_VERSION: str(version),
        OWNER_EPOCH: str(epoch),
    }


def table_versions(directory: Path) -> list[TableVersion]:
    """The versions that can be read back, oldest first. Between two of them lie the steps of a flush."""
    found = []
    for version in reversed(version_numbers(directory)):
        try:
            dataset = open_version(directory, version)
        except CorruptData:
            # Unreadable, or removed since the names were read.
            continue
        config = dataset.config()
        if config.get(FLUSHED_VERSION) == str(version):
            created = _EPOCH + timedelta(milliseconds=int(config[FLUSHED_MS]))
            found.append(TableVersion(version, created, flushed_seq(dataset), dataset.count_rows()))
    return found


def find_version(directory: Path, at: int | datetime) -> TableVersion:
    """A version by its number, or the one that was the newest at a time.

    Raises:
        VersionNotFound: It is not there, or no more; the error names those that are.
    """
    versions = table_versions(directory)
    if isinstance(at, datetime):
        matching = [each for each in versions if each.created <= at]
        wanted = f"from {at.isoformat()}"
    else:
        matching = [each for each in versions if each.version == at]
        wanted = str(at)
    if not matching:
        raise VersionNotFound.of(
            wanted, [(each.version, each.created.isoformat(timespec="milliseconds")) for each in versions]
        )
    return matching[-1]


def _table_path(directory: Path) -> Path:
    return directory / f"{NAME}.lance"


def _check_files(directory: Path, dataset: Any) -> None:
    """Compare the files that a version names with those that are there.

    Raises:
        CorruptData: One is missing, or has another length.
    """
    lengths = {
        f"{folder}/{entry.name}": entry.stat().st_size
        for folder in ("data", "_deletions")
        if (_table_path(directory) / folder).is_dir()
        for entry in os.scandir(_table_path(directory) / folder)
    }
    for fragment in dataset.get_fragments():
        named = {f"data/{file.path}": file.file_size_bytes for file in fragment.data_files()}
        if fragment.deletion_file():
            named[str(fragment.deletion_file())] = None
        for name, length in named.items():
            if not lengths.get(name) or length not in (None, lengths[name]):
                raise CorruptData(
                    f"Version {dataset.version} of the shard's table lacks a file, or a part of one."
                )
