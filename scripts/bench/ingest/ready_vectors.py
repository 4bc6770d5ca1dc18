"""Figure: how quickly vectors in a Parquet file become searchable, their graphs included."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scripts.bench.corpus import load_corpus, point_id
from scripts.bench.serving.vectoray_server import VectorayServer
from vectoray.core.model import FloatMatrix

ROWS = 50_000
_TIMEOUT_S = 600


def write_parquet(path: Path, vectors: FloatMatrix) -> None:
    """A file of points with these vectors: float32, shape (n, dimension)."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    ids = [point_id(row) for row in range(len(vectors))]
    pq.write_table(pa.table({"id": ids, "vector": column, "row": range(len(ids))}), path)


def ready_vectors_per_s(server: VectorayServer, work: Path, rows: int = ROWS) -> float:
    """Load a file of 384 dimensions by the command, into a new collection.

    Args:
        server: A running server.
        work: A folder for the file.
        rows: How many.

    Returns:
        Rows per second from when the command begins to look at the file, its Ray not joined yet, until the
        last row is durable, in a segment with a graph, and visible.

    Raises:
        RuntimeError: The load failed, or left out a row.
    """
    vectors = np.ascontiguousarray(load_corpus(rows).vectors[:rows])
    path, report = work / "ready.parquet", work / "ready.json"
    write_parquet(path, vectors)
    collection = server.create("ready-vectors", vectors.shape[1])
    command = [sys.executable, "-P", "-m", "pipelines.load_vectors", str(path), "--collection", collection]
    command += ["--data-dir", str(server.data_dir), "--report", str(report)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S, env=server.environment
    )
    if done.returncode:
        raise RuntimeError(f"The load failed: {done.stderr[-2000:]}")
    found = json.loads(report.read_text())
    server.drop("ready-vectors")
    if found["rows"] != rows:
        raise RuntimeError(f"Of {rows} rows, {found['rows']} were loaded.")
    return float(found["rows_per_s"])
