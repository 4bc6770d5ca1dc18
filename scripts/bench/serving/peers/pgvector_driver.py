"""Loads pgvector, and asks it from some connections at a time, each waiting for its answer; prints JSON.

Runs in an environment of its own, which has none of this project's packages: ``python pgvector_driver.py
ADDRESS``, then ``load VECTORS POINTS``, ``answer QUERIES COUNT`` or ``drive QUERIES CONNECTIONS SECONDS``.
"""

import asyncio
import json
import struct
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import orjson

_SEARCH = "SELECT id, payload, 1 - (embedding <=> $1) FROM points ORDER BY embedding <=> $1 LIMIT 10"


def _encode(vector: Any) -> bytes:
    return struct.pack(">HH", len(vector), 0) + bytes(vector.astype(">f4").data)


async def _connect(address: str) -> Any:
    connection = await asyncpg.connect(address)
    await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    await connection.set_type_codec("vector", encoder=bytes, decoder=bytes, format="binary", schema="public")
    # A small table would be scanned instead; and 40 candidates, the default, find too few to be compared.
    await connection.execute("SET enable_seqscan = off")
    await connection.execute("SET hnsw.ef_search = 100")
    return connection


async def _load(address: str, vectors: str, described: str) -> None:
    connection = await _connect(address)
    matrix = np.load(vectors)
    await connection.execute(
        f"CREATE TABLE points (id text PRIMARY KEY, payload jsonb, embedding vector({matrix.shape[1]}))"
    )
    # Nothing else runs in this loop yet.
    lines = [orjson.loads(line) for line in Path(described).read_bytes().splitlines()]  # noqa: ASYNC240
    records = [
        (identifier, orjson.dumps(payload).decode(), _encode(vector))
        for (identifier, payload), vector in zip(lines, matrix, strict=True)
    ]
    began_s = time.perf_counter()
    await connection.copy_records_to_table("points", records=records)
    await connection.execute("SET maintenance_work_mem = '512MB'")
    await connection.execute("CREATE INDEX ON points USING hnsw (embedding vector_cosine_ops)")
    await connection.execute("VACUUM ANALYZE points")
    print(json.dumps({"seconds": time.perf_counter() - began_s}))
    await connection.close()


async def _answer(address: str, queries: str, count: str) -> None:
    connection = await _connect(address)
    search = await connection.prepare(_SEARCH)
    found = []
    for query in np.load(queries)[: int(count)]:
        hits = await search.fetch(_encode(query))
        found.append([(hit[0], orjson.loads(hit[1])) for hit in hits])
    print(json.dumps(found))
    await connection.close()


async def _drive(address: str, queries: str, connections: str, seconds: str) -> None:
    encoded = [_encode(query) for query in np.load(queries)]
    opened = [await _connect(address) for _ in range(int(connections))]
    prepared = [await connection.prepare(_SEARCH) for connection in opened]
    took_s: list[float] = []
    began_s = time.perf_counter()
    end_s = began_s + float(seconds)

    async def ask(search: Any, at: int) -> None:
        while (sent_s := time.perf_counter()) < end_s:
            if len(await search.fetch(encoded[at % len(encoded)])) != 10:
                raise ValueError("an answer had fewer than ten hits")
            took_s.append(time.perf_counter() - sent_s)
            at += len(prepared)

    await asyncio.gather(*(ask(search, at) for at, search in enumerate(prepared)))
    lasted_s = time.perf_counter() - began_s
    p50_ms, p90_ms, p99_ms = (1000 * np.quantile(took_s, [0.5, 0.9, 0.99])).tolist()
    found = {"count": len(took_s), "seconds": lasted_s, "p50_ms": p50_ms, "p90_ms": p90_ms}
    print(json.dumps({**found, "p99_ms": p99_ms, "max_ms": 1000 * max(took_s)}))
    await asyncio.gather(*(connection.close() for connection in opened))


if __name__ == "__main__":
    commands: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "load": _load,
        "answer": _answer,
        "drive": _drive,
    }
    asyncio.run(commands[sys.argv[2]](sys.argv[1], *sys.argv[3:]))
