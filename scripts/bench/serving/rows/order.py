"""Every row of the table, in the order in which they run."""

from collections.abc import Callable
from dataclasses import dataclass

from scripts.bench.measurement import Measurement
from scripts.bench.serving.rows.batches import measure_batches
from scripts.bench.serving.rows.filtered import measure_filtered
from scripts.bench.serving.rows.overload import measure_overload
from scripts.bench.serving.rows.read_your_writes import measure_read_your_writes
from scripts.bench.serving.rows.search import measure_search
from scripts.bench.serving.rows.shard_count import measure_shard_count
from scripts.bench.serving.rows.single_inserts import measure_single_inserts
from scripts.bench.serving.rows.text_queries import measure_text_queries
from scripts.bench.serving.rows.two_nodes import measure_two_nodes
from scripts.bench.serving.session import Session
from scripts.bench.serving.two_node_server import two_node_server


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        name: What ``--only`` takes.
        needs: What `open_session` has to start for it besides Vectoray.
    """

    name: str
    measure: Callable[[Session], Measurement]
    needs: frozenset[str] = frozenset()


# Searches come first: the rows after them write, and what they wrote is merged meanwhile.
ROWS = (
    Row("batches", measure_batches, frozenset({"chroma"})),
    Row("search", measure_search, frozenset({"chroma", "bare", "pgvector"})),
    Row("shards", measure_shard_count, frozenset({"shards"})),
    Row("filtered", measure_filtered),
    Row("text", measure_text_queries),
    Row("overload", measure_overload),
    Row("single-inserts", measure_single_inserts),
    Row("read-your-writes", measure_read_your_writes),
    Row("two-nodes", lambda session: measure_two_nodes(session, two_node_server)),
)
