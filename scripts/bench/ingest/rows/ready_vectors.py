"""Row: ready vectors from a file, until they are searchable."""

from scripts.bench.ingest.bench import Bench
from scripts.bench.ingest.ready_vectors import ROWS, ready_vectors_per_s
from scripts.bench.measurement import Figure, Measurement

_PER_S = 4_000


def measure_ready_vectors(bench: Bench) -> Measurement:
    """One file, one collection, the server's default settings."""
    rows = bench.scaled(ROWS, least=5_000)
    with bench.server("ready-vectors") as server:
        per_s = ready_vectors_per_s(server, bench.folder, rows)
    return Measurement(
        "ready-vectors",
        (Figure("ready vectors (Parquet) -> searchable", _PER_S, per_s, "vectors/s"),),
        (f"{rows:,} vectors of 384 dimensions, from the start of the command, their graphs included",),
    )
