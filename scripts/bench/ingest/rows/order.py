"""Every row of the table, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass

from scripts.bench.ingest.bench import Bench
from scripts.bench.ingest.rows.fetch import measure_fetch
from scripts.bench.ingest.rows.files import measure_files
from scripts.bench.ingest.rows.memory import measure_memory
from scripts.bench.ingest.rows.parse import measure_parse
from scripts.bench.ingest.rows.ready_vectors import measure_ready_vectors
from scripts.bench.ingest.rows.searches import measure_searches
from scripts.bench.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        name: What ``--only`` takes.
    """

    name: str
    measure: Callable[[Bench], Measurement]


ROWS = (
    Row("parse", measure_parse),
    Row("fetch", measure_fetch),
    Row("ready-vectors", measure_ready_vectors),
    Row("files", measure_files),
    Row("searches", measure_searches),
    Row("memory", measure_memory),
)
