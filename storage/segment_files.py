"""Writes the folder of a segment.

=================  =========================================================================================
``rows.arrow``     stored fields: id, length, payload, text, source, chunk_index (-1 for none)
``writes.arrow``   of each row the write that made it: seq, updated_ms, and when its id was first made:
                   created_ms; apart, as bulk loads learn them last
``vectors.npy``    float32, shape (rows, dimension); apart, so that merging need not hold them in memory
``ids.arrow``      id hashes, sorted, and the row of each
``graph.usearch``  absent when the rows are searched one by one
``twins.arrow``    beside a graph: the rows that it does not link, see `storage.twins`
``filters.arrow``  see `storage.filter_index`
``text.arrow``     see `storage.text_index`
``segment.json``   format, rows, and the checksum of each other file
=================  =========================================================================================
"""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage import files, scoring
from storage.filter_index_writer import write_filter_index
from storage.graph import Graph
from storage.records import hash_ids
from storage.rows import SegmentRows
from storage.text_index import merge_text_indexes, write_text_index
from storage.twins import first_alike, twins_batch
from vectoray.core.errors import CorruptData
from vectoray.core.model import FloatMatrix, IndexOptions, Metric

if TYPE_CHECKING:
    from storage.segment import Segment

ROWS, WRITES, VECTORS, IDS, GRAPH, TWINS, FILTERS, TEXT = (
    "rows.arrow",
    "writes.arrow",
    "vectors.npy",
    "ids.arrow",
    "graph.usearch",
    "twins.arrow",
    "filters.arrow",
    "text.arrow",
)
_DESCRIPTION = "segment.json"
_FORMAT = 5
# Below this many rows a scan is as quick as the graph (ray-facts: 2k rows 0.14 ms), and it is exact.
GRAPH_MIN_ROWS = 1024
# A NumPy file of version 1.0: its magic, the length of its header, the header.
_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>..)"
    rb"{'descr': '<f4', 'fortran_order': False, 'shape': \((?P<rows>\d+), (?P<dimension>\d+)\)",
    re.DOTALL,
)
_NPY_HEADER_BYTES = 128
_BLOCK_ROWS = 4096

Rows = npt.NDArray[np.int64]
# Columns of strings in `rows.arrow`, and the attributes of segments that hold them.
_STRINGS = {"id": "ids", "payload": "payloads", "text": "texts", "source": "sources"}


@dataclass(frozen=True, slots=True)
class Description:
    """What ``segment.json`` says.

    Attributes:
        rows: How many.
        indexed: Whether the rows have a graph, or were found to be none that a graph finds.
        largest_component: Of any row's direction, 0 to 1; 1 where there is no graph.
        checksums: Of each file, by name.
    """

    rows: int
    indexed: bool
    largest_component: float
    checksums: Mapping[str, str]

    @property
    def has_graph(self) -> bool:
        """Whether the segment has a graph."""
        return GRAPH in self.checksums


def read_description(directory: Path) -> Description:
    """What a segment's folder holds.

    Raises:
        CorruptData: It is no segment, damaged, or of another format.
    """
    try:
        value: dict[str, Any] = files.read_json(directory / _DESCRIPTION)
        if value["format"] != _FORMAT:
            raise CorruptData("A segment has a format that this version does not read.")
        return Description(
            int(value["rows"]),
            bool(value["indexed"]),
            float(value["largest_component"]),
            dict(value["files"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptData("A segment is incomplete.") from error


def verify(directory: Path, description: Description) -> None:
    """Compare every file with its checksum.

    Raises:
        CorruptData: One is missing or damaged.
    """
    try:
        intact = all(
            files.checksum_file(directory / name) == expected
            for name, expected in description.checksums.items()
        )
    except OSError as error:
        raise CorruptData("A segment is incomplete.") from error
    if not intact:
        raise CorruptData("A segment does not match its checksum.")


def write_segment(
    directory: Path,
    rows: SegmentRows,
    *,
    metric: Metric,
    options: IndexOptions,
    with_graph: bool,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Write points as a segment, durably, under its final name.

    Args:
        directory: The folder to make; its parent exists.
        rows: At least one point, no id twice.
        metric: The collection's metric.
        options: The collection's index options.
        with_graph: Whether to build the graph, if there are enough rows for one.
        should_stop: Asked now and then while the graph grows.

    Raises:
        OSError: Nothing is left under the final name.
        BuildStoppedError: ``should_stop`` said so.
    """
    with _folder(directory) as temporary:
        _write_vectors(temporary, rows.vectors.shape[1], len(rows), [rows.vectors])
        sources = pa.array(rows.sources, pa.large_string())
        _write_rows(
            temporary,
            {
                "id": pa.array(rows.ids, pa.large_string()),
                "length": pa.array(scoring.norms(rows.vectors)),
                "payload": pa.array(rows.payloads, pa.large_binary()),
                "text": pa.array(rows.texts, pa.large_string()),
                "source": sources,
                "chunk_index": pa.array(rows.chunk_indexes),
            },
        )
        _write_writes(temporary, rows.seqs, rows.updated_ms, rows.created_ms)
        _write_ids(temporary, hash_ids(rows.ids))
        write_filter_index(temporary / FILTERS, rows.payloads, sources)
        write_text_index(temporary / TEXT, rows.texts)
        if with_graph and _wants_graph(options, len(rows)):
            graph = Graph.empty(rows.vectors.shape[1], metric, options)
            _grow(graph, temporary, rows.vectors, present=0, options=options, should_stop=should_stop)
        _describe(temporary, rows=len(rows), indexed=with_graph and _wants_graph(options, len(rows)))


def merge_segments(
    directory: Path,
    parts: Sequence[tuple["Segment", Rows]],
    *,
    metric: Metric,
    options: IndexOptions,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Write some rows of several segments as one segment, durably, under its final name.

    If all rows of the first one are taken, its graph grows by the others' rows; or else a new one is built.
    Of the rows only the strings are held in memory, and the graph.

    Args:
        directory: The folder to make; its parent exists.
        parts: Segments, and those of their rows, sorted, that go into the new one, in this order.
        metric: The collection's metric.
        options: The collection's index options.
        should_stop: Asked now and then while the graph grows.

    Raises:
        OSError: Nothing is left under the final name.
        BuildStoppedError: ``should_stop`` said so.
    """
    count = sum(len(rows) for _, rows in parts)
    dimension = parts[0][0].vectors.shape[1]
    with _folder(directory) as temporary:
        _write_vectors(temporary, dimension, count, _blocks(parts))
        _write_rows(temporary, _taken(parts))
        _write_writes(
            temporary,
            np.concatenate([part.seqs[rows] for part, rows in parts]),
            np.concatenate([part.updated_ms[rows] for part, rows in parts]),
            np.concatenate([part.created_ms[rows] for part, rows in parts]),
        )
        _write_ids(temporary, np.concatenate([part.hashes_by_row()[rows] for part, rows in parts]))
        write_filter_index(
            temporary / FILTERS,
            (part.payloads[row] for part, rows in parts for row in rows.tolist()),
            _strings(parts, "sources"),
        )
        merge_text_indexes(temporary / TEXT, [(part.text_index, rows) for part, rows in parts])
        if _wants_graph(options, count):
            vectors = map_vectors(temporary / VECTORS)
            first, first_rows = parts[0]
            grows = first.graph is not None and len(first_rows) == len(first)
            graph = (
                Graph.open(first.directory / GRAPH, metric, options, mapped=False)
                if grows
                else Graph.empty(dimension, metric, options)
            )
            present = len(first) if grows else 0
            _grow(graph, temporary, vectors, present=present, options=options, should_stop=should_stop)
        _describe(temporary, rows=count, indexed=_wants_graph(options, count))


def adopt_segment(
    source: Path, directory: Path, *, first_seq: int, updated_ms: int, created_ms: npt.NDArray[np.int64]
) -> None:
    """Make a segment of another one's files, durably, as if its rows had been written by other writes.

    Args:
        source: The folder of a segment, verified, on the same disk; it stays as it is.
        directory: The folder to make; its parent exists.
        first_seq: The write that is to have made row 0; the others follow.
        updated_ms: When, Unix time in milliseconds.
        created_ms: int64, shape (rows,). When the id of each row was first made.

    Raises:
        CorruptData: The source is no segment.
        OSError: Nothing is left under the final name.
    """
    description = read_description(source)
    with _folder(directory) as temporary:
        for name in description.checksums:
            if name != WRITES:
                os.link(source / name, temporary / name)
        _write_writes(
            temporary,
            np.arange(first_seq, first_seq + description.rows, dtype=np.uint64),
            np.full(description.rows, updated_ms, dtype=np.int64),
            created_ms,
        )
        checksums = {**description.checksums, WRITES: files.checksum_file(temporary / WRITES)}
        _write_description(temporary, replace(description, checksums=checksums))


@contextmanager
def _folder(directory: Path) -> Iterator[Path]:
    """A folder to write into, which gets its final name in the end."""
    temporary = directory.with_name(files.TEMPORARY_PREFIX + directory.name)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
        files.publish_dir(temporary, directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _describe(directory: Path, *, rows: int, indexed: bool) -> None:
    checksums = {path.name: files.checksum_file(path) for path in directory.iterdir()}
    largest = 1.0
    if GRAPH in checksums:
        largest = scoring.largest_component(map_vectors(directory / VECTORS))
    _write_description(directory, Description(rows, indexed, largest, checksums))


def _write_description(directory: Path, description: Description) -> None:
    files.write_json_durable(
        directory / _DESCRIPTION,
        {
            "format": _FORMAT,
            "rows": description.rows,
            "indexed": description.indexed,
            "largest_component": description.largest_component,
            "files": dict(description.checksums),
        },
    )


def _wants_graph(options: IndexOptions, rows: int) -> bool:
    return options.kind.is_graph and rows >= GRAPH_MIN_ROWS


def _grow(
    graph: Graph,
    directory: Path,
    vectors: FloatMatrix,
    *,
    present: int,
    options: IndexOptions,
    should_stop: Callable[[], bool],
) -> None:
    """Add the rows from ``present`` on to a graph that has those before, and save it.

    Unless it cannot find its own rows again: then the segment is searched row by row.
    """
    first = first_alike(graph.hashes(vectors))
    new = np.arange(present, len(vectors), dtype=np.int64)
    new = new[first[new] == new]
    graph.add(new, vectors.__getitem__, seed=options.seed, should_stop=should_stop)
    if graph.finds_its_rows(vectors, seed=options.seed, should_stop=should_stop):
        graph.save(directory / GRAPH)
        _write_batch(directory / TWINS, twins_batch(first))


def _blocks(parts: Sequence[tuple["Segment", Rows]]) -> Iterator[FloatMatrix]:
    for part, rows in parts:
        for start in range(0, len(rows), _BLOCK_ROWS):
            yield part.vectors[rows[start : start + _BLOCK_ROWS]]


def _taken(parts: Sequence[tuple["Segment", Rows]]) -> dict[str, Any]:
    """The columns of ``rows.arrow`` for some rows of several segments."""
    columns = {name: _strings(parts, attribute) for name, attribute in _STRINGS.items()}
    columns["chunk_index"] = pa.array(np.concatenate([part.chunk_indexes[rows] for part, rows in parts]))
    columns["length"] = pa.array(np.concatenate([part.lengths[rows] for part, rows in parts]))
    return columns


def _strings(parts: Sequence[tuple["Segment", Rows]], attribute: str) -> Any:
    """One of a segment's columns of strings, for some rows of several."""
    return pa.concat_arrays([getattr(part, attribute).column.take(pa.array(rows)) for part, rows in parts])


def _write_vectors(directory: Path, dimension: int, rows: int, blocks: Iterable[FloatMatrix]) -> None:
    """A NumPy file of vectors, written block by block."""
    # Not through a mapping: a full disk would kill the process instead of raising.
    with (directory / VECTORS).open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype="<f4").data)


def map_vectors(path: Path) -> FloatMatrix:
    """Map what `_write_vectors` wrote: float32, shape (rows, dimension).

    Not by `numpy.load`, which parses the header as Python: before 3.11.8 and 3.12.2 CPython may fail at that
    with a SystemError while another thread does the same (python/cpython#106905).

    Raises:
        OSError, ValueError: It is missing or cut short.
    """
    with path.open("rb") as file:
        header = _NPY_HEADER.match(file.read(_NPY_HEADER_BYTES))
    if header is None:
        raise ValueError("not a NumPy file of float32 vectors")
    offset = 10 + int.from_bytes(header["length"], "little")
    shape = (int(header["rows"]), int(header["dimension"]))
    # Without the subclass, whose every slice costs a microsecond.
    return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=shape).view(np.ndarray)


def _write_rows(directory: Path, columns: Mapping[str, Any]) -> None:
    _write_batch(directory / ROWS, pa.record_batch(dict(columns)))


def _write_writes(
    directory: Path,
    seqs: npt.NDArray[np.uint64],
    updated_ms: npt.NDArray[np.int64],
    created_ms: npt.NDArray[np.int64],
) -> None:
    columns = {"seq": seqs, "updated_ms": updated_ms, "created_ms": created_ms}
    _write_batch(
        directory / WRITES, pa.record_batch({name: pa.array(column) for name, column in columns.items()})
    )


def _write_ids(directory: Path, hashes: npt.NDArray[np.uint64]) -> None:
    order = np.argsort(hashes, kind="stable")
    _write_batch(
        directory / IDS,
        pa.record_batch({"hash": pa.array(hashes[order]), "row": pa.array(order.astype(np.uint32))}),
    )


def _write_batch(path: Path, batch: Any) -> None:
    with pa.OSFile(os.fspath(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
