"""Which segments and log batches are live, published atomically; and the counter by which readers notice.

``manifest-<generation>.json`` is written under a new name each time; the highest is the current one. The
counter is a mapped file of two 64-bit numbers, the manifest's generation and the last acknowledged sequence
number. It carries no truth: the owner sets it anew when it opens the shard.
"""

import mmap
import os
import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from storage import files
from vectoray.core.errors import CorruptData

_MANIFEST = re.compile(r"manifest-(\d{20})\.json")
_KEPT_MANIFESTS = 2
_COUNTER_BYTES = 16


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation of a shard.

    Attributes:
        generation: Rises by one with every publication.
        epoch: Rises by one with every owner; the table refuses the changes of an earlier one.
        sealed_seq: Writes up to here are in the segments and in ``dead``; later ones are in the log.
        flushed_seq: Writes up to here are in the LanceDB table.
        segments: Names of the live segments, oldest first.
        dead: For a segment, the file that lists its rows overwritten or deleted up to ``sealed_seq``.
        next_segment: Number of the next segment; names are never used twice.
        last_write_ms: Unix time of write ``sealed_seq``, in milliseconds.
        adopted: First and last write of each run of rows that is in no log because segments were adopted, and
            not yet in the table; in order.
        jobs: Of each bulk load that is not forgotten, the parts that are committed, sorted.
    """

    generation: int = 0
    epoch: int = 0
    sealed_seq: int = 0
    flushed_seq: int = 0
    segments: tuple[str, ...] = ()
    dead: Mapping[str, str] = field(default_factory=dict)
    next_segment: int = 0
    last_write_ms: int = 0
    adopted: tuple[tuple[int, int], ...] = ()
    jobs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def manifest_generations(directory: Path) -> list[int]:
    """Generations whose manifest is there, newest first, readable or not."""
    matches = (_MANIFEST.fullmatch(path.name) for path in directory.iterdir())
    return sorted((int(match[1]) for match in matches if match), reverse=True)


def manifest_path(directory: Path, generation: int) -> Path:
    """Where a generation's manifest lies."""
    return directory / f"manifest-{generation:020d}.json"


def read_manifest(directory: Path, generation: int) -> Manifest:
    """The manifest of a generation.

    Raises:
        CorruptData: It is damaged.
        FileNotFoundError: It is gone; a newer one is there.
    """
    value = files.read_json(manifest_path(directory, generation))
    try:
        return Manifest(
            generation=generation,
            epoch=int(str(value["epoch"])),
            sealed_seq=int(str(value["sealed_seq"])),
            flushed_seq=int(str(value["flushed_seq"])),
            segments=tuple(_strings(value["segments"])),
            dead=_string_map(value["dead"]),
            next_segment=int(str(value["next_segment"])),
            last_write_ms=int(str(value["last_write_ms"])),
            adopted=_runs(value["adopted"]),
            jobs=_parts_by_job(value["jobs"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptData("A shard's manifest lacks a field.") from error


def publish_manifest(directory: Path, manifest: Manifest) -> None:
    """Make a manifest the current one, durably, and forget those long past.

    Raises:
        OSError: The previous one is still current.
        UnknownOutcomeError: One of the two is.
    """
    files.write_json_durable(
        manifest_path(directory, manifest.generation),
        {
            "epoch": manifest.epoch,
            "sealed_seq": manifest.sealed_seq,
            "flushed_seq": manifest.flushed_seq,
            "segments": list(manifest.segments),
            "dead": dict(manifest.dead),
            "next_segment": manifest.next_segment,
            "last_write_ms": manifest.last_write_ms,
            "adopted": [list(run) for run in manifest.adopted],
            "jobs": {job: list(parts) for job, parts in manifest.jobs.items()},
        },
    )
    # It is current now, whatever becomes of the old ones.
    with suppress(OSError):
        for generation in manifest_generations(directory)[_KEPT_MANIFESTS:]:
            manifest_path(directory, generation).unlink(missing_ok=True)


def _strings(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    return value


def _string_map(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise TypeError
    return value


def _runs(value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple((int(first), int(last)) for first, last in value)


def _parts_by_job(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        raise TypeError
    return {job: tuple(_strings(parts)) for job, parts in value.items()}


class GenerationCounter:
    """The mapped pair (manifest generation, last acknowledged sequence number)."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        """Map the counter, making it first if this is the owner.

        Raises:
            FileNotFoundError: A reader came before the first owner.
            CorruptData: A reader came to a counter that its owner has yet to mend.
        """
        if writable and (not path.exists() or path.stat().st_size != _COUNTER_BYTES):
            files.write_durable(path, bytes(_COUNTER_BYTES))
        with path.open("r+b" if writable else "rb") as file:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            found = os.fstat(file.fileno())
            if found.st_size != _COUNTER_BYTES:
                raise CorruptData("A shard's counter has another length.")
            self._mapped = mmap.mmap(file.fileno(), _COUNTER_BYTES, access=access)
        # Another file cannot have its number while it is mapped.
        self._path, self._identity = path, (found.st_dev, found.st_ino)

    def read(self) -> tuple[int, int]:
        """The manifest generation and the last acknowledged sequence number."""
        generation, seq = struct.unpack("<QQ", self._mapped[:_COUNTER_BYTES])
        return generation, seq

    @property
    def is_replaced(self) -> bool:
        """Whether another file, or none, is in its place: its owner, if there is one, tells that one."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) != self._identity

    def publish_generation(self, generation: int) -> None:
        """Tell readers of a new manifest."""
        self._mapped[:8] = struct.pack("<Q", generation)

    def publish_seq(self, seq: int) -> None:
        """Tell readers of new writes; called before they are acknowledged."""
        self._mapped[8:16] = struct.pack("<Q", seq)

    def close(self) -> None:
        """Unmap."""
        self._mapped.close()
