"""Every row of the table, in the order in which they run."""

from scripts.bench import batches, bulk, filtered, growth, memory, reopen, search, single_upserts
from scripts.bench.context import Row

ROWS = (
    Row("single-upserts", "single upserts, 64 callers", single_upserts.measure_single_upserts),
    Row("batches", "batches of 500", batches.measure_batches, leaves=batches.ROWS),
    Row("bulk", "bulk fragments", bulk.measure_bulk),
    Row("search", "search", search.measure_search, cores=1, shards=(search.ROWS,)),
    Row("filtered", "filtered search", filtered.measure_filtered, cores=1, shards=(search.ROWS,)),
    Row("reopen", "reopen", reopen.measure_reopen, shards=(batches.ROWS,)),
    Row("memory", "resident memory", memory.measure_memory, shards=(batches.ROWS,)),
    Row(
        "growth",
        "cost of a search as the shard grows",
        growth.measure_growth,
        cores=1,
        shards=growth.SIZES,
        shards_if_full=growth.FULL_SIZES,
    ),
)


def row_named(name: str) -> Row:
    """The row with this name.

    Raises:
        KeyError: There is none.
    """
    return {row.name: row for row in ROWS}[name]
