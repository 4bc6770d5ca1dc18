"""Shards to measure: opening, loading, settling, copying, and what one consists of."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scripts.bench.corpus import Corpus
from storage import shard
from storage.graph import saved_graph_type
from storage.manifest import GenerationCounter, Manifest, manifest_generations, read_manifest
from storage.segment_files import GRAPH_MIN_ROWS, read_description
from storage.settings import StorageSettings
from storage.shard import ShardSpec, create_shard, read_spec
from storage.writer import ShardWriter
from vectoray.core.errors import CorruptData
from vectoray.core.model import IndexOptions, Metric, PointBatch, WriteResult

BATCH_ROWS = 500
_IN_FLIGHT = 4


@contextmanager
def open_shard(directory: Path, dimension: int) -> Iterator[ShardWriter]:
    """The shard at the default settings, made if it is not there; stopped cleanly in the end."""
    create_shard(directory, ShardSpec(dimension, Metric.COSINE, IndexOptions()))
    writer = ShardWriter(directory, StorageSettings())
    try:
        yield writer
    finally:
        writer.close()


def load(writer: ShardWriter, corpus: Corpus, rows: int) -> None:
    """Write the first points of the corpus, a few batches at a time."""
    waiting: list[Future[WriteResult]] = []
    for start in range(0, rows, BATCH_ROWS):
        if len(waiting) == _IN_FLIGHT:
            waiting.pop(0).result()
        waiting.append(writer.upsert(corpus.batch(start, min(start + BATCH_ROWS, rows))))
    for future in waiting:
        future.result()


def manifest_of(directory: Path) -> Manifest:
    """The current manifest, also while the owner publishes others."""
    while generations := manifest_generations(directory):
        try:
            return read_manifest(directory, generations[0])
        except FileNotFoundError:
            continue
    return Manifest()


def unsealed_rows(directory: Path) -> int:
    """How many writes are in no segment yet."""
    counter = GenerationCounter(directory / shard.COUNTER, writable=False)
    try:
        # The counter comes second: read first, it could be behind the manifest.
        sealed_seq = manifest_of(directory).sealed_seq
        return counter.read()[1] - sealed_seq
    finally:
        counter.close()


def seal_all(writer: ShardWriter, directory: Path) -> None:
    """Seal until nothing is left to be searched row by row."""
    while unsealed_rows(directory):
        writer.seal()


def wait_for_graphs(directory: Path) -> None:
    """Wait until no sealed rows are left for which a graph is yet to be built."""
    while True:
        with suppress(CorruptData):
            # A merge removes what it has replaced.
            segments = [
                read_description(directory / shard.SEGMENTS / name)
                for name in manifest_of(directory).segments
            ]
            if sum(segment.rows for segment in segments if not segment.indexed) < GRAPH_MIN_ROWS:
                return
        time.sleep(0.05)


def settle(writer: ShardWriter) -> None:
    """Do what a shard does once it is at rest, so that none of it runs while something is measured."""
    writer.optimize()
    writer.flush()


def settled_shard(directory: Path, corpus: Corpus, rows: int) -> None:
    """Make a shard of this many points, settled and cleanly stopped."""
    with open_shard(directory, corpus.vectors.shape[1]) as writer:
        load(writer, corpus, rows)
        settle(writer)


def copy_shard(source: Path, target: Path, *, ef_search: int | None = None) -> Path:
    """A stopped shard once more, sharing its files: none is ever changed, but for the counter and the lock.

    Args:
        source: The shard.
        target: Where the copy comes to be.
        ef_search: How many candidates a search of the copy keeps; None: as the original.

    Returns:
        ``target``.
    """
    spec = read_spec(source)
    if ef_search is not None:
        spec = replace(spec, index=replace(spec.index, ef_search=ef_search))
    create_shard(target, spec)
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir(exist_ok=True)
        elif not copy.exists() and path.name not in {shard.COUNTER, shard.LOCK}:
            copy.hardlink_to(path)
    return target


@dataclass(frozen=True, slots=True)
class Anatomy:
    """What a shard consists of.

    Attributes:
        segments: Names of its segments.
        graph_numbers: The numbers that each graph keeps.
        file_bytes: Bytes of the segments' files, by file name.
    """

    segments: Sequence[str]
    graph_numbers: Sequence[str]
    file_bytes: dict[str, int]

    def __str__(self) -> str:
        kinds = ", ".join(sorted(set(self.graph_numbers))) or "none"
        return f"{len(self.segments)} segments, {len(self.graph_numbers)} graphs ({kinds})"

    def to_json(self) -> dict[str, Any]:
        """For the details of a measurement."""
        return {
            "segments": len(self.segments),
            "graphs": list(self.graph_numbers),
            "file_bytes": self.file_bytes,
        }


def anatomy(directory: Path) -> Anatomy:
    """What a settled shard consists of."""
    segments = manifest_of(directory).segments
    graphs, sizes = [], Counter[str]()
    for name in segments:
        for path in (directory / shard.SEGMENTS / name).iterdir():
            sizes[path.name] += path.stat().st_size
            if path.suffix == ".usearch":
                graphs.append(saved_graph_type(path).value)
    return Anatomy(segments, graphs, dict(sorted(sizes.items())))


def one_point(batch: PointBatch) -> list[PointBatch]:
    """The batch's points, each as a batch of its own."""
    return [batch.take([row]) for row in range(len(batch))]
