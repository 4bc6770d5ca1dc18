"""Entry point: load ready vectors into a collection of a running server, as a driver of its Ray.

From Python, `load_vectors`. From a shell, or as a job of Ray's,
``python -m pipelines.load_vectors FILE... --collection NAME --data-dir DIR [--report FILE]``. The report is
JSON. Exit status: 0 when everything is loaded; 2 for a mistake of the caller, in one sentence on stderr; 1
otherwise.
"""

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from cluster.server_file import ServerFile
from cluster.settings import ClusterSettings
from pipelines.driver import joined
from pipelines.load_report import LoadReport
from pipelines.settings import PipelineSettings
from pipelines.vectors.columns import Columns, Target
from pipelines.vectors.files import RawRows, array_rows, vector_files
from pipelines.vectors.parts import Layout
from storage.catalog import ANYONE, Catalog
from vectoray.core.errors import CollectionNotFound, InvalidRequest, NotFound, VectorayError
from vectoray.core.model import Collection


def load_vectors(
    source: Any,
    *,
    collection: str,
    server: ServerFile | Path | str,
    columns: Columns | None = None,
    job: str = "",
    skip_refused: bool = False,
) -> LoadReport:
    """Load ready vectors into a collection; they replace points of the same ids. There are no events of it.

    Files, tables and arrays are checked as a whole before anything is written: if a row is refused, nothing
    is written, unless ``skip_refused``. A dataset is checked batch by batch, as it comes: batches before a
    bad row stay stored, and of an id in several batches any may be the one that counts.

    A load that was cut short is completed by the same call: parts that are stored are not stored again. Which
    load it is says the state of the files, or the content of the table; of a dataset only ``job`` says it.

    Args:
        source: The path of a file or folder, or several: Parquet, Arrow, Feather, CSV, JSONL, NumPy. Or a
            `pyarrow.Table`; or a pair of arrays, ids and vectors; or a `ray.data.Dataset`.
        collection: The name of the collection, or its id.
        server: Whose collection: the server's data folder, or what it says of itself.
        columns: Which column holds what.
        job: Names the load. Empty: by what is loaded.
        skip_refused: Whether to leave out rows that are refused.

    Raises:
        InvalidRequest: The source cannot be read, or has rows that are refused.
        CollectionNotFound: No such collection.
        Unavailable: No server runs, or a part of it did not answer for too long: load it again to go on.
    """
    started_s = time.monotonic()
    server = server if isinstance(server, ServerFile) else ServerFile.read(Path(server))
    target = _run(_collection(collection, server))
    cluster = ClusterSettings.model_validate(server.settings["cluster"])
    pipelines = PipelineSettings.model_validate(server.settings["pipelines"])
    layout = Layout(
        columns or Columns(),
        Target(target.dimension, target.metric),
        pipelines.load.part_rows(dimension=target.dimension, shards=target.shards),
    )
    files = vector_files(_paths(source)) if _is_paths(source) else []
    report = LoadReport(target.name)
    with joined(server):
        # Ray reads its environment when it is imported, and joining sets that.
        from pipelines.sink import Sink  # noqa: PLC0415
        from pipelines.vector_plan import VectorLoad, errors_of_ours  # noqa: PLC0415

        sink = Sink(target, job, cluster, Path(server.data_dir), pipelines.niceness)
        load = VectorLoad(sink, layout, report, skip_refused=skip_refused)
        with errors_of_ours():
            if files:
                load.files(files)
            elif isinstance(source, pa.Table):
                load.table(_table_rows(source, layout.rows), name="the table")
            elif isinstance(source, tuple):
                ids, vectors = source
                load.table(array_rows(ids, vectors, layout.columns, layout.rows), name="the arrays")
            else:
                load.dataset(source, job=job or f"dataset-{uuid.uuid4().hex}")
    report.seconds = round(time.monotonic() - started_s, 3)
    return report


def _is_paths(source: Any) -> bool:
    return isinstance(source, str | Path | list)


def _paths(source: Any) -> list[Path]:
    return [Path(one) for one in (source if isinstance(source, list) else [source])]


def _table_rows(table: Any, rows: int) -> Iterator[RawRows]:
    for start in range(0, table.num_rows, rows):
        yield RawRows(start, table.slice(start, rows))


def _run(call: Any) -> Any:
    """Run a coroutine to its end, also where this thread has an event loop, as in a notebook."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, call).result()


async def _collection(name: str, server: ServerFile) -> Collection:
    catalog = await Catalog.open(server.settings["database_url"])
    try:
        found = await catalog.by_name((ANYONE,), name) or await catalog.by_id(name)
    finally:
        await catalog.dispose()
    if found is None:
        raise CollectionNotFound.of(name)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, load, and report. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.load_vectors", description="Load vectors.")
    parser.add_argument("path", type=Path, nargs="+", help="file or folder")
    parser.add_argument("--collection", required=True, help="name or id")
    parser.add_argument("--data-dir", type=Path, required=True, help="the server's data folder")
    parser.add_argument("--job", default="", help="names the load; made of the files if absent")
    parser.add_argument("--skip-refused", action="store_true", help="leave out bad rows")
    for name in ("id", "vector", "payload", "text", "source"):
        parser.add_argument(f"--{name}-column", default=name, help=f"instead of '{name}'")
    parser.add_argument("--report", type=Path, help="where to write the report; else to stdout")
    options = parser.parse_args(arguments)
    try:
        report = load_vectors(
            options.path,
            collection=options.collection,
            server=options.data_dir,
            columns=Columns(
                id=options.id_column,
                vector=options.vector_column,
                payload=options.payload_column,
                text=options.text_column,
                source=options.source_column,
            ),
            job=options.job,
            skip_refused=options.skip_refused,
        )
    except VectorayError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, InvalidRequest | NotFound) else 1
    text = json.dumps(report.to_json(), indent=2)
    if options.report:
        options.report.write_text(text)
    else:
        print(text)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
