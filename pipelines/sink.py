"""Where Ray Data ends: parts of points become segments of a collection's shards, each part exactly once.

Workers build the segments, on the node of the shard's disk if they are there; the owner of each shard makes
them visible and notes which parts it has (`cluster.engine.Engine.load`). A task that is repeated, because its
worker died, finds its part there and changes nothing.
"""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.data

from cluster.settings import ClusterSettings
from pipelines.blocking_engine import BlockingEngine
from pipelines.driver import show_progress_on_terminals_only
from pipelines.vectors.columns import check_rows
from pipelines.vectors.parts import Layout, content_name, decode_points, encode_points
from pipelines.workers import engine_of_worker, give_way
from vectoray.core.errors import InvalidRequest, VectorayError
from vectoray.core.model import Collection

# Building a graph keeps one core busy; what remains on a small machine is for reading.
WRITE_CPUS = 0.75
READ_CPUS = 0.25
# Less than a part: each part is a block of its own, which one task gets.
_BLOCK_BYTES = 2**16

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sink:
    """Where parts go.

    Attributes:
        job: Names the load: the shards remember its parts until it ends.
        cluster: How to reach the shards.
        data_dir: The data folder of the nodes that have the shards.
        niceness: How far workers stand back behind searches.
    """

    collection: Collection
    job: str
    cluster: ClusterSettings
    data_dir: Path
    niceness: int

    def load(self, part: str, points: bytes) -> Row:
        """Write a part, in a worker. Never raises because of it: the error is in the row.

        Args:
            part: Its name.
            points: What `pipelines.vectors.parts.encode_points` made.

        Returns:
            ``part``, ``rows``, ``refused``, and ``error``, which is empty, or pickled.
        """
        give_way(self.niceness)
        batch = decode_points(points)
        try:
            if len(batch):
                engine_of_worker(self.cluster, self.data_dir).load(self.collection, self.job, part, batch)
        except VectorayError as error:
            return _row(error=error)
        return _row(part, len(batch))

    def loaded_parts(self) -> frozenset[str]:
        """The parts that are stored already, asked in a worker.

        Raises:
            Unavailable: The shards did not answer for too long.
        """
        found: frozenset[str] = self._in_worker(lambda engine: engine.loaded_parts(self.collection, self.job))
        return found

    def end(self) -> None:
        """Let the shards forget the job, asked in a worker.

        Raises:
            Unavailable: The shards did not answer for too long.
        """
        self._in_worker(lambda engine: engine.end_load(self.collection, self.job))

    def _in_worker(self, ask: Callable[[BlockingEngine], Any]) -> Any:
        """Ask in a worker: Ray Serve binds a process to one event loop, and a driver may have its own."""

        def answer(_: Row) -> Row:
            try:
                found = ask(engine_of_worker(self.cluster, self.data_dir))
            except VectorayError as error:
                return {"answer": b"", "error": pickle.dumps(error)}
            return {"answer": pickle.dumps(found), "error": b""}

        with ray.data.DataContext.current(parts_context()):
            asked = ray.data.from_items([{"ask": 0}]).map(answer, num_cpus=READ_CPUS)
        [row] = _checked(asked)
        return pickle.loads(row["answer"])  # noqa: S301  (of our own worker)


def parts_context() -> Any:
    """A `ray.data.DataContext` for datasets whose rows are parts."""
    context = ray.data.DataContext.get_current().copy()
    context.target_max_block_size = _BLOCK_BYTES
    show_progress_on_terminals_only(context)
    return context


def store_parts(parts: Any, sink: Sink) -> Iterator[Row]:
    """Store parts as they come; a row for each that is stored, as `Sink.load`.

    Args:
        parts: A `ray.data.Dataset`, made under `parts_context`, of rows ``part`` and ``points``, or
            ``error``.
        sink: Where they go.

    Raises:
        VectorayError: The first part that could not be read or stored. Others may have been.
    """

    def store(row: Row) -> Row:
        if row["error"]:
            return {**_row(), "error": row["error"]}
        return sink.load(row["part"], row["points"])

    yield from _checked(parts.map(store, num_cpus=WRITE_CPUS))


def store_dataset(dataset: Any, layout: Layout, sink: Sink, *, skip_refused: bool) -> Iterator[Row]:
    """Store a dataset of ready vectors, batch by batch; a row for each batch, as `Sink.load`.

    A batch's name is made of what is in it: the same batch is not stored twice by the same job.

    Args:
        dataset: A `ray.data.Dataset` with the columns of the layout.
        layout: Its columns, and how many rows a batch has.
        sink: Where they go.
        skip_refused: Whether to leave out rows that are refused.

    Raises:
        DimensionMismatch, InvalidRequest: A batch has a bad row; others have been stored.
        VectorayError: A batch could not be stored.
    """

    def store(table: Any) -> dict[str, list[Any]]:
        try:
            rows = check_rows(table, layout.columns, layout.target)
            if rows.refused and not skip_refused:
                row, reason = next(iter(rows.refused.items()))
                point_id = table.column(layout.columns.id)[row].as_py()
                raise InvalidRequest(f"The row with the id {point_id!r} is refused. {reason}")
        except VectorayError as error:
            return _as_batch(_row(error=error))
        points = encode_points(rows.batch)
        return _as_batch({**sink.load(content_name(points), points), "refused": len(rows.refused)})

    stored = dataset.map_batches(
        store, batch_size=layout.rows, batch_format="pyarrow", num_cpus=WRITE_CPUS, zero_copy_batch=True
    )
    yield from _checked(stored)


def _row(part: str = "", rows: int = 0, *, error: VectorayError | None = None) -> Row:
    return {"part": part, "rows": rows, "refused": 0, "error": pickle.dumps(error) if error else b""}


def _as_batch(row: Row) -> dict[str, list[Any]]:
    return {name: [value] for name, value in row.items()}


def _checked(rows: Any) -> Iterator[Row]:
    for row in rows.iter_rows():
        if row["error"]:
            error: VectorayError = pickle.loads(row["error"])  # noqa: S301  (of our own workers)
            raise error
        yield row
