"""Bulk loads on a real Ray: each row is there once, whoever is killed while they run."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data
from hypothesis import settings

from cluster.engine import Engine
from cluster.ray_engine import RayEngine
from cluster.server_file import ServerFile
from pipelines.load_vectors import load_vectors
from storage.catalog import Catalog
from storage.manifest import manifest_generations, read_manifest
from tests.integration.test_engines import batch_of, points_in, vectors_of
from vectoray.core.errors import CorruptData, InvalidRequest
from vectoray.core.model import Collection, IndexOptions, Metric, SearchQuery

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    # Ray warns of its own defaults when it copies them.
    pytest.mark.filterwarnings("ignore:::ray.data.context"),
]

NIGHTLY = settings.get_current_profile_name() == "nightly"
KILLS = 50 if NIGHTLY else 3
DIMENSION, SHARDS = 8, 3
ROWS = 6_000


def collection_of(engine: Engine, shards: int = SHARDS) -> Collection:
    now = datetime.now(UTC)
    collection_id = str(uuid.uuid4())
    return Collection(
        id=collection_id,
        name=f"c-{collection_id}",
        owner="local",
        dimension=DIMENSION,
        metric=Metric.COSINE,
        index=IndexOptions(),
        hosts=engine.place(collection_id, shards),
        created_at=now,
        updated_at=now,
    )


async def made(engine: Engine, server: ServerFile) -> Collection:
    """A collection of several shards, which the catalog knows."""
    collection = collection_of(engine)
    catalog = await Catalog.open(server.settings["database_url"])
    await catalog.begin_create(collection)
    await engine.create(collection)
    await catalog.finish_create(collection.id)
    await catalog.dispose()
    return collection


def table_of(rows: int, *, first: int = 0) -> Any:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(vectors_of(rows, seed=first).reshape(-1)), DIMENSION)
    numbers = range(first, first + rows)
    return pa.table({"id": [f"p{row}" for row in numbers], "vector": vectors, "row": list(numbers)})


async def check_all(engine: Engine, collection: Collection, rows: int) -> None:
    """Every row is there, was written once, and is found."""
    [stats] = await engine.stats([collection])
    assert stats is not None
    assert (stats.points, stats.writes) == (rows, rows)
    for row in range(0, rows, rows // 7):
        [point] = await engine.get(collection, [f"p{row}"])
        assert point is not None
        assert json.loads(point.payload) == {"row": row}
        hits = (await engine.search(collection, SearchQuery(point.vector, top_k=3))).hits
        assert f"p{row}" in [hit.id for hit in hits]


async def test_a_part_is_stored_once_wherever_its_fragments_are_written(engine: Engine) -> None:
    collection = collection_of(engine)
    await engine.create(collection)
    await engine.write(collection, batch_of(vectors_of(10)))
    for _ in range(2):
        await engine.load(collection, "job", "part", batch_of(vectors_of(2000, seed=1)))
        assert await engine.loaded_parts(collection, "job") == {"part"}
        await engine.delete(collection, ["p1999"])
    assert await points_in(engine, collection) == 1999
    await engine.end_load(collection, "job")
    assert await engine.loaded_parts(collection, "job") == frozenset()


async def test_gateways_see_what_was_loaded_at_once(
    server: ServerFile, ray_engine: RayEngine, remote_engine: RayEngine
) -> None:
    collection = collection_of(ray_engine)
    await ray_engine.create(collection)
    query = SearchQuery(vectors_of(1)[0])
    # The reader of this process has the shards open already.
    assert len(await ray_engine.search(collection, query)) == 0
    for part in range(3):
        vectors = vectors_of(50, seed=part)
        await remote_engine.load(collection, "job", str(part), batch_of(vectors, prefix=f"{part}-"))
        hits = (await ray_engine.search(collection, SearchQuery(vectors[7], top_k=1))).hits
        assert [hit.id for hit in hits] == [f"{part}-7"]


async def test_files_tables_arrays_and_datasets_are_loaded(
    server: ServerFile, ray_engine: RayEngine, tmp_path: Path
) -> None:
    collection = await made(ray_engine, server)
    pq.write_table(table_of(1000), tmp_path / "one.parquet", row_group_size=77)
    pq.write_table(table_of(1000, first=1000), tmp_path / "two.parquet")
    report = await asyncio.to_thread(load_vectors, tmp_path, collection=collection.name, server=server)
    assert (report.rows, report.rows_before, report.refused_rows) == (2000, 0, 0)
    table = table_of(1000, first=2000)
    report = await asyncio.to_thread(load_vectors, table, collection=collection.id, server=server)
    assert report.rows == 1000
    dataset = ray.data.from_arrow([table_of(500, first=3000), table_of(500, first=3500)])
    report = await asyncio.to_thread(load_vectors, dataset, collection=collection.id, server=server)
    assert report.rows == 1000
    await check_all(ray_engine, collection, 4000)
    arrays = (np.arange(500), vectors_of(500, seed=9))
    report = await asyncio.to_thread(load_vectors, arrays, collection=collection.id, server=server)
    assert report.rows == 500
    assert await points_in(ray_engine, collection) == 4500


async def test_nothing_is_written_when_a_row_is_refused_unless_it_may_be_left_out(
    server: ServerFile, ray_engine: RayEngine, tmp_path: Path
) -> None:
    collection = await made(ray_engine, server)
    pq.write_table(table_of(500), tmp_path / "a.parquet")
    pq.write_table(table_of(500, first=499), tmp_path / "b.parquet")

    def load(**options: Any) -> Any:
        return load_vectors(tmp_path, collection=collection.id, server=server, **options)

    with pytest.raises(InvalidRequest, match=r"row 1 of b\.parquet: Its id is that of row 500 of a\.parquet"):
        await asyncio.to_thread(load)
    assert await points_in(ray_engine, collection) == 0
    report = await asyncio.to_thread(load, skip_refused=True)
    assert (report.rows, report.refused_rows) == (999, 1)
    await check_all(ray_engine, collection, 999)


@pytest.mark.timeout(7200 if NIGHTLY else 400)
async def test_a_load_whose_driver_is_killed_goes_on_where_it_was(
    server: ServerFile, ray_engine: RayEngine, tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    resumed = 0
    for number in range(KILLS):
        collection = await made(ray_engine, server)
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table_of(ROWS), path)
        parts = int(random.integers(1, 20))

        def run(kill_after: int, path: Path = path, collection: Collection = collection) -> int:
            return cli(server, path, collection, tmp_path / "report.json", kill_after)

        code = await asyncio.to_thread(run, parts)
        assert code in {0, -signal.SIGKILL}
        [before] = await ray_engine.stats([collection])
        assert before is not None
        assert await asyncio.to_thread(run, 0) == 0
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["rows"] == ROWS
        if code:
            assert report["rows_before"] <= before.points + ROWS // 4
            resumed += report["rows_before"] > 0
            await check_all(ray_engine, collection, ROWS)
    assert resumed


def cli(server: ServerFile, path: Path, collection: Collection, report: Path, kill_after: int) -> int:
    """Run the command; kill it once the first shard has committed so many parts, if that is not 0."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "pipelines.load_vectors",
        str(path),
        "--collection",
        collection.name,
    ]
    command += ["--data-dir", server.data_dir, "--report", str(report)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        if kill_after:
            directory = Path(server.data_dir, "collections", collection.id, "shard-0000")
            wait_for(lambda: process.poll() is not None or committed(directory) >= kill_after)
            process.kill()
        _, error = process.communicate(timeout=110)
    assert process.returncode != 1, error.decode()[-3000:]
    return process.returncode


def committed(directory: Path) -> int:
    """How many parts the newest manifest of a shard names."""
    for generation in manifest_generations(directory):
        # It may be removed at any moment, for a newer one.
        with suppress(FileNotFoundError, CorruptData):
            return sum(map(len, read_manifest(directory, generation).jobs.values()))
    return 0


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.mark.timeout(7200 if NIGHTLY else 400)
async def test_workers_that_are_killed_lose_nothing_and_repeat_nothing(
    server: ServerFile, ray_engine: RayEngine, tmp_path: Path
) -> None:
    collection = await made(ray_engine, server)
    path = tmp_path / "rows.parquet"
    pq.write_table(table_of(2 * ROWS), path)
    killed: list[str] = []
    over = threading.Event()

    def kill() -> None:
        random = np.random.default_rng(1)
        while not over.wait(float(random.uniform(0.05, 0.5))) and len(killed) < KILLS:
            for worker in workers_of(server):
                killed.append(worker.name())
                worker.kill()
                break

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        report = await asyncio.to_thread(load_vectors, path, collection=collection.id, server=server)
    finally:
        over.set()
        killer.join()
    assert killed
    assert report.rows == 2 * ROWS
    await check_all(ray_engine, collection, 2 * ROWS)


def workers_of(server: ServerFile) -> Iterator[psutil.Process]:
    """The processes of the server's Ray that store parts at this moment."""
    for process in psutil.Process(server.pid).children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if "ray::" in title and "store" in title:
            yield process
