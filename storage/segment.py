"""An immutable, mapped search segment: stored fields, an id index and a usearch graph, each with a checksum.

A segment is a folder: ``rows.arrow`` (stored fields), ``ids.npy`` (sorted id hashes and their rows),
``graph.usearch`` (absent when the segment is searched exactly) and ``segment.json``. It is derived from the
log and the table and can be rebuilt from them.
"""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog
from usearch.index import Index

from storage import files, scoring
from storage.records import hash_id, hash_ids, vector_column, vector_matrix
from vectoray.core.errors import CorruptData
from vectoray.core.model import FloatMatrix, FloatVector, IndexKind, IndexOptions, Metric

_log = structlog.get_logger(__name__)

_ROWS, _IDS, _GRAPH, _DESCRIPTION = "rows.arrow", "ids.npy", "graph.usearch", "segment.json"
_FORMAT = 1
# Below this many rows a scan is as quick as the graph (ray-facts: 2k rows 0.14 ms), and it is exact.
_GRAPH_MIN_ROWS = 1024
# Candidates scored exactly: rounding to the graph's number type misplaces close neighbours.
_MIN_CANDIDATES = 128
_SLACK = 8
_ADD_ROWS = 2048
_SELF_RECALL_SAMPLE = 256
_SELF_RECALL_MIN = 0.98


@dataclass(frozen=True, slots=True)
class SegmentRows:
    """Live points that become a segment, in columns of equal length.

    Attributes:
        seqs: uint64, shape (n,). The write that made each row.
        updated_ms: int64, shape (n,).
        vectors: float32, shape (n, dimension).
    """

    ids: Sequence[str]
    seqs: npt.NDArray[np.uint64]
    updated_ms: npt.NDArray[np.int64]
    vectors: FloatMatrix
    payloads: Sequence[bytes]
    texts: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.ids)


def concatenate(parts: Sequence[SegmentRows]) -> SegmentRows:
    """The rows of several parts, one part after the other."""
    return SegmentRows(
        ids=[point_id for part in parts for point_id in part.ids],
        seqs=np.concatenate([part.seqs for part in parts]),
        updated_ms=np.concatenate([part.updated_ms for part in parts]),
        vectors=np.concatenate([part.vectors for part in parts]),
        payloads=[payload for part in parts for payload in part.payloads],
        texts=[text for part in parts for text in part.texts],
    )


class Segment:
    """A segment opened for reading. Its files are mapped, so processes share their memory."""

    def __init__(self, directory: Path, metric: Metric, *, ef_search: int, verify: bool) -> None:
        """Map a segment.

        Args:
            directory: The segment's folder.
            metric: The collection's metric.
            ef_search: Candidates kept while a query walks the graph.
            verify: Whether to compare every file with its checksum first.

        Raises:
            CorruptData: A file is missing, damaged, or of another format.
        """
        self.name = directory.name
        try:
            description = files.read_json(directory / _DESCRIPTION)
            checksums = description["files"]
            if description["format"] != _FORMAT or not isinstance(checksums, dict):
                raise CorruptData("A segment has a format that this version does not read.")
            if verify and any(
                files.checksum_file(directory / name) != expected for name, expected in checksums.items()
            ):
                raise CorruptData("A segment does not match its checksum.")
            table = pa.ipc.open_file(pa.memory_map(str(directory / _ROWS))).get_batch(0)
            index = np.load(directory / _IDS, mmap_mode="r")
            graph = _open_graph(directory / _GRAPH, ef_search) if _GRAPH in checksums else None
        except (FileNotFoundError, pa.ArrowInvalid, KeyError) as error:
            raise CorruptData("A segment is incomplete.") from error
        self.metric = metric
        self.size_bytes = sum(path.stat().st_size for path in directory.iterdir())
        self._ids, self._payloads, self._texts = table["id"], table["payload"], table["text"]
        self._hashes: npt.NDArray[np.uint64] = index["hash"]
        self._hash_rows: npt.NDArray[np.uint32] = index["row"]
        self._graph = graph
        dimension = table["vector"].type.list_size
        self.vectors = vector_matrix(table["vector"], dimension)
        self.lengths: FloatVector = table["length"].to_numpy()
        self.seqs: npt.NDArray[np.uint64] = table["seq"].to_numpy()
        self.updated_ms: npt.NDArray[np.int64] = table["updated_ms"].to_numpy()

    def __len__(self) -> int:
        return len(self.seqs)

    def rows_of(self, point_id: str) -> list[int]:
        """Rows that carry this id: one or none, since only live rows enter a segment."""
        wanted = np.uint64(hash_id(point_id))
        first = int(np.searchsorted(self._hashes, wanted, side="left"))
        last = int(np.searchsorted(self._hashes, wanted, side="right"))
        return [row for row in self._hash_rows[first:last].tolist() if self.id(row) == point_id]

    def id(self, row: int) -> str:
        """The row's id."""
        value: str = self._ids[row].as_py()
        return value

    def payload(self, row: int) -> bytes:
        """The row's payload, JSON."""
        value: bytes = self._payloads[row].as_py()
        return value

    def text(self, row: int) -> str | None:
        """The row's text."""
        value: str | None = self._texts[row].as_py()
        return value

    def take(self, rows: npt.NDArray[np.int64]) -> SegmentRows:
        """Some rows, copied, to be written into another segment."""
        indices = pa.array(rows)
        return SegmentRows(
            ids=self._ids.take(indices).to_pylist(),
            seqs=self.seqs[rows],
            updated_ms=self.updated_ms[rows],
            vectors=self.vectors[rows],
            payloads=self._payloads.take(indices).to_pylist(),
            texts=self._texts.take(indices).to_pylist(),
        )

    def search(
        self, query: FloatVector, k: int, *, killed_at: npt.NDArray[np.uint64], seq: int
    ) -> npt.NDArray[np.int64]:
        """Rows alive at ``seq`` that probably hold the best ``k``; never fewer than ``k`` if there are ``k``.

        Args:
            query: float32, shape (dimension,).
            k: How many.
            killed_at: uint64, shape (n,). The write that ended each row.
            seq: The write up to which this search sees.

        Returns:
            int64 row numbers, in no particular order; score them exactly.
        """
        count = max(k + _SLACK, _MIN_CANDIDATES)
        direction = scoring.unit(query) if self.metric is Metric.COSINE else query
        # Beyond an eighth of the rows the graph visits most of them, at a higher price than a scan.
        while self._graph is not None and count * 8 < len(self):
            keys = self._graph.search(direction, count).keys.astype(np.int64)
            rows = keys[killed_at[keys] > seq]
            if len(rows) >= k:
                return rows
            count *= 4
        return self.scan(query, k, np.flatnonzero(killed_at > seq))

    def scan(self, query: FloatVector, k: int, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Those of ``rows`` (int64, sorted) that hold the exact best ``k``, and near ties."""
        return scoring.scan(self.metric, query, self.vectors, self.lengths, rows=rows, k=k)


def _open_graph(path: Path, ef_search: int) -> Any:
    try:
        index = Index.restore(str(path), view=True)
    except (ValueError, RuntimeError) as error:
        raise CorruptData("A segment's graph cannot be read.") from error
    if index is None:
        raise CorruptData("A segment's graph cannot be read.")
    index.expansion_search = ef_search
    return index


class BuildStoppedError(Exception):
    """The build was asked to stop; nothing is left of it."""


def build_segment(
    directory: Path,
    rows: SegmentRows,
    *,
    metric: Metric,
    options: IndexOptions,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Write a segment durably under its final name.

    Args:
        directory: The folder to make; its parent exists.
        rows: At least one point.
        metric: The collection's metric.
        options: The collection's index options.
        should_stop: Asked now and then while the graph grows.

    Raises:
        OSError: Nothing is left under the final name.
        BuildStoppedError: ``should_stop`` said so.
    """
    temporary = directory.with_name(files.TEMPORARY_PREFIX + directory.name)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    try:
        _write_rows(temporary / _ROWS, rows)
        _write_ids(temporary / _IDS, rows.ids)
        names = [_ROWS, _IDS]
        if options.kind is IndexKind.HNSW and len(rows) >= _GRAPH_MIN_ROWS:
            graph = _build_graph(rows.vectors, metric, options, should_stop)
            if graph is not None:
                _save_graph(graph, temporary / _GRAPH)
                names.append(_GRAPH)
        checksums = {name: files.checksum_file(temporary / name) for name in names}
        files.write_json_durable(
            temporary / _DESCRIPTION, {"format": _FORMAT, "rows": len(rows), "files": checksums}
        )
        files.publish_dir(temporary, directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _write_rows(path: Path, rows: SegmentRows) -> None:
    batch = pa.record_batch(
        {
            "id": pa.array(rows.ids, pa.large_string()),
            "seq": pa.array(rows.seqs),
            "updated_ms": pa.array(rows.updated_ms),
            "payload": pa.array(rows.payloads, pa.large_binary()),
            "text": pa.array(rows.texts, pa.large_string()),
            "length": pa.array(scoring.norms(rows.vectors)),
            "vector": vector_column(rows.vectors),
        }
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def _write_ids(path: Path, ids: Sequence[str]) -> None:
    hashes = hash_ids(ids)
    order = np.argsort(hashes, kind="stable")
    index = np.empty(len(ids), dtype=[("hash", np.uint64), ("row", np.uint32)])
    index["hash"], index["row"] = hashes[order], order
    np.save(path, index)


def _build_graph(
    vectors: FloatMatrix, metric: Metric, options: IndexOptions, should_stop: Callable[[], bool]
) -> Any | None:
    """A usearch graph over the rows, or None if it cannot find its own rows again.

    One thread adds the rows: concurrent additions to usearch can leave rows unreachable. bf16 keeps a
    direction well enough to choose candidates by, and halves the memory; lengths need float32.
    """
    graph = Index(
        ndim=vectors.shape[1],
        metric={Metric.COSINE: "cos", Metric.DOT: "ip", Metric.EUCLIDEAN: "l2sq"}[metric],
        dtype="bf16" if metric is Metric.COSINE else "f32",
        connectivity=options.m,
        expansion_add=options.ef_construction,
        expansion_search=options.ef_search,
    )
    order = np.random.default_rng(options.seed).permutation(len(vectors))
    for start in range(0, len(order), _ADD_ROWS):
        if should_stop():
            raise BuildStoppedError
        part = order[start : start + _ADD_ROWS]
        added = vectors[part]
        # Of equal lengths, so that squares neither vanish nor overflow in float32.
        graph.add(
            part.astype(np.uint64), scoring.unit(added) if metric is Metric.COSINE else added, threads=1
        )
    recall = _self_recall(graph, vectors, metric, options.seed, should_stop)
    if recall < _SELF_RECALL_MIN:
        _log.warning("segment_graph_refused", self_recall=round(recall, 4), rows=len(vectors))
        return None
    return graph


def _save_graph(graph: Any, path: Path) -> None:
    """Usearch takes some failures to write for success: compare the sizes."""
    try:
        graph.save(str(path))
    except RuntimeError as error:
        raise OSError(errno.EIO, "the graph could not be saved") from error
    if path.stat().st_size < graph.serialized_length:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _self_recall(
    graph: Any, vectors: FloatMatrix, metric: Metric, seed: int, should_stop: Callable[[], bool]
) -> float:
    """Share of sampled rows whose exact best match is among the graph's ten best for that row."""
    sample = np.random.default_rng(seed).choice(
        len(vectors), min(_SELF_RECALL_SAMPLE, len(vectors)), replace=False
    )
    lengths = scoring.norms(vectors)
    rows = np.arange(len(vectors), dtype=np.int64)
    found = 0
    for query in vectors[sample]:
        if should_stop():
            raise BuildStoppedError
        nearest = scoring.scan(metric, query, vectors, lengths, rows=rows, k=1)
        best = scoring.exact_scores(metric, query, vectors[nearest])
        direction = scoring.unit(query) if metric is Metric.COSINE else query
        keys = graph.search(direction, 10).keys.astype(np.int64)
        got = scoring.exact_scores(metric, query, vectors[keys])
        found += bool(len(got) and got.max() >= best.max())
    return found / len(sample)
