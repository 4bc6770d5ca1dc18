"""Row: how late searches are while documents are ingested, beside the same searches on an idle server."""

import time

from scripts.bench.ingest.bench import Bench, Ingestion
from scripts.bench.ingest.documents import SETTINGS, text_documents
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving import wrk
from scripts.bench.serving.drive import Drives
from scripts.bench.serving.loading import send_all
from scripts.bench.serving.points import Points, insert_body, load_points
from scripts.bench.serving.target import HttpTarget
from scripts.bench.serving.vectoray_server import NAME, VectorayServer

_POINTS, _BATCH_ROWS = 20_000, 500
_CHUNKS = 20_000
_CONNECTIONS = 4
_ROUNDS = 3
_SECONDS, _QUICK_SECONDS = 10, 3
_TIMES_AS_LATE = 3.0
_SEARCHED, _FILLED = "searched", "filled"
_BEGIN_LIMIT_S = 120
_POLL_S = 0.5


def measure_searches(bench: Bench) -> Measurement:
    """Two collections: one is searched, documents go into the other once its first chunks are stored."""
    if not wrk.is_installed():
        return Measurement("searches", error=wrk.MISSING)
    points = load_points(bench.scaled(_POINTS, least=2_000))
    documents = text_documents(bench.folder / "searches", chunks=bench.scaled(_CHUNKS, least=4_000))
    with bench.server("searches-data", SETTINGS) as server:
        target = _loaded(server, points, bench)
        idle = _drives(target, bench)
        server.create(_FILLED, points.vectors.shape[1])
        with bench.ingesting(server, documents.folder, _FILLED) as ingestion:
            _wait_for_chunks(server, ingestion)
            before, began_s = server.count(_FILLED), time.perf_counter()
            busy = _drives(target, bench)
            stored_per_s = (server.count(_FILLED) - before) / (time.perf_counter() - began_s)
            if not ingestion.is_running:
                raise RuntimeError("the ingestion ended before the searches; try a larger scale")
    return Measurement(
        "searches",
        (
            Figure(
                "p99 of searches while ingesting, to idle",
                _TIMES_AS_LATE,
                busy.p99_ms / idle.p99_ms,
                "x",
                at_most=True,
            ),
            Figure("... requests without a good answer", 0, idle.refused + busy.refused, "", at_most=True),
        ),
        (
            f"{points.stored:,} points, {_CONNECTIONS} connections; idle: {idle}; ingesting: {busy}",
            f"{stored_per_s:.1f} chunks/s were stored meanwhile",
        ),
        {"idle": idle.to_json(), "ingesting": busy.to_json(), "stored_per_s": stored_per_s},
    )


def _loaded(server: VectorayServer, points: Points, bench: Bench) -> HttpTarget:
    server.create(_SEARCHED, points.vectors.shape[1])
    bodies = [
        insert_body(points, range(at, min(at + _BATCH_ROWS, points.stored)))
        for at in range(0, points.stored, _BATCH_ROWS)
    ]
    send_all(server.url, server.insert_path(_SEARCHED), bodies)
    server.wait_until_at_rest(_SEARCHED)
    return server.target(NAME, _SEARCHED, points, bench.folder)


def _drives(target: HttpTarget, bench: Bench) -> Drives:
    target.drive(_CONNECTIONS, 1)
    seconds = _SECONDS if bench.scale == 1 else _QUICK_SECONDS
    return Drives([target.drive(_CONNECTIONS, seconds) for _ in range(_ROUNDS)])


def _wait_for_chunks(server: VectorayServer, ingestion: Ingestion) -> None:
    """Wait until the model is at work and what it made is being stored."""
    end_s = time.monotonic() + _BEGIN_LIMIT_S
    while not server.count(_FILLED):
        if not ingestion.is_running:
            ingestion.wait()
            raise RuntimeError("the ingestion ended and stored nothing")
        if time.monotonic() > end_s:
            raise RuntimeError(f"nothing was stored within {_BEGIN_LIMIT_S} s")
        time.sleep(_POLL_S)
