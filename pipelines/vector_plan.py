"""Loads of ready vectors as Ray Data plans: check everything, then store what is not stored yet."""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray.data
import ray.exceptions
import structlog

from pipelines.load_report import LoadReport
from pipelines.sink import READ_CPUS, Row, Sink, parts_context, store_dataset, store_parts
from pipelines.vectors.files import RawRows
from pipelines.vectors.parts import (
    Layout,
    Part,
    content_name,
    encode_points,
    job_of_files,
    parts_of,
    parts_of_file,
)
from pipelines.vectors.survey import PartSummary, Survey, without
from pipelines.workers import give_way
from vectoray.core.errors import InternalError, InvalidRequest, VectorayError

_log = structlog.get_logger(__name__)
# Each is one task that reads.
_MAX_READERS = 128


class VectorLoad:
    """One load, of a driver that has joined Ray."""

    def __init__(self, sink: Sink, layout: Layout, report: LoadReport, *, skip_refused: bool) -> None:
        """Begin.

        Args:
            sink: Where to; its job may be empty, then it is made of what is loaded.
            layout: How the source is cut.
            report: Told of what is done.
            skip_refused: Whether to leave out rows that are refused, instead of refusing all.
        """
        self._sink, self._layout, self._report = sink, layout, report
        self._skip_refused = skip_refused

    def files(self, files: Sequence[Path]) -> None:
        """Load files of ready vectors."""
        job = job_of_files(files, self._layout, skip_refused=self._skip_refused)
        survey = Survey([path.name for path in files])
        for row in _checked_files(files, self._layout, self._sink.niceness):
            if row["error"]:
                error: VectorayError = pickle.loads(row["error"])  # noqa: S301  (of our own workers)
                raise error
            survey.add(pickle.loads(row["summary"]))  # noqa: S301
        self._accept(survey)
        layout, dropped, niceness = self._layout, survey.dropped, self._sink.niceness

        def parts(stored: frozenset[str]) -> Any:
            return _files_as_parts(files, layout, dropped, stored, niceness)

        self._store(job, survey, parts)

    def table(self, raw: Iterator[RawRows], *, name: str) -> None:
        """Load rows that this process has in memory.

        Args:
            raw: The rows.
            name: What to call their source.
        """
        survey = Survey([name])
        cut: list[Part] = []
        for part in parts_of(raw, 0, self._layout):
            cut.append(part)
            survey.add(PartSummary.of(part, 0))
        self._accept(survey)
        encoded = [(part.name, encode_points(without(part, survey.dropped))) for part in cut]
        job = "table-" + content_name("".join(content_name(points) for _, points in encoded).encode())

        def parts(stored: frozenset[str]) -> Any:
            left = [
                {"part": part, "points": points, "error": b""}
                for part, points in encoded
                if part not in stored
            ]
            return ray.data.from_items(left, override_num_blocks=max(1, len(left)))

        self._store(job, survey, parts)

    def dataset(self, dataset: Any, *, job: str) -> None:
        """Load a `ray.data.Dataset`, whose batches are checked as they come."""
        self._report.job = job
        sink = replace(self._sink, job=job)
        for row in store_dataset(dataset, self._layout, sink, skip_refused=self._skip_refused):
            self._report.rows += row["rows"]
            self._report.refused_rows += row["refused"]
        sink.end()

    def _accept(self, survey: Survey) -> None:
        survey.finish()
        if not self._skip_refused:
            survey.require_none_refused()
        self._report.refused_rows, self._report.refused = survey.refused_rows, survey.refused

    def _store(self, job: str, survey: Survey, parts: Any) -> None:
        """Store what is not stored yet, and then forget the job."""
        job = self._report.job = self._sink.job or job
        sink = replace(self._sink, job=job)
        stored = sink.loaded_parts()
        self._report.rows = self._report.rows_before = survey.points_in(stored)
        with ray.data.DataContext.current(parts_context()):
            dataset = parts(stored)
        for row in store_parts(dataset, sink):
            self._report.rows += row["rows"]
        if self._report.rows != survey.points_in():
            raise InvalidRequest("A file was changed while it was loaded; load it again.")
        sink.end()


def _checked_files(files: Sequence[Path], layout: Layout, niceness: int) -> Iterator[Row]:
    """A row for each part of each file: ``summary``, or ``error``, pickled."""

    def check(row: Row) -> Iterator[Row]:
        give_way(niceness)
        try:
            for part in parts_of_file(Path(row["path"]), row["number"], layout):
                yield {"summary": pickle.dumps(PartSummary.of(part, row["number"])), "error": b""}
        except VectorayError as error:
            yield {"summary": b"", "error": pickle.dumps(_of_file(error, row["path"]))}

    with ray.data.DataContext.current(parts_context()):
        dataset = _one_task_each(files).flat_map(check, num_cpus=READ_CPUS)
    return iter(dataset.iter_rows())


def _files_as_parts(
    files: Sequence[Path], layout: Layout, dropped: Any, stored: frozenset[str], niceness: int
) -> Any:
    """A dataset of the files' parts, as `pipelines.sink.store_parts` takes them."""

    def read(row: Row) -> Iterator[Row]:
        give_way(niceness)
        try:
            for part in parts_of_file(Path(row["path"]), row["number"], layout):
                if part.name not in stored:
                    points = encode_points(without(part, dropped))
                    yield {"part": part.name, "points": points, "error": b""}
        except VectorayError as error:
            yield {"part": "", "points": b"", "error": pickle.dumps(_of_file(error, row["path"]))}

    return _one_task_each(files).flat_map(read, num_cpus=READ_CPUS)


def _one_task_each(files: Sequence[Path]) -> Any:
    rows = [{"number": number, "path": str(path)} for number, path in enumerate(files)]
    return ray.data.from_items(rows, override_num_blocks=min(len(rows), _MAX_READERS))


def _of_file(error: VectorayError, path: str) -> VectorayError:
    """The error, saying in which file it was."""
    return type(error)(f"{Path(path).name}: {error.message}", error.details)


@contextmanager
def errors_of_ours() -> Iterator[None]:
    """Turn what Ray raises into errors of ours.

    Raises:
        InternalError: A part of the cluster failed.
    """
    try:
        yield
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
        if isinstance(cause, VectorayError):
            raise cause from None
        _log.warning("load_failed", kind=type(cause or error).__name__)
        raise InternalError(
            "The load stopped because a part of the cluster failed; run it again to go on."
        ) from error
