"""Row: the ten nearest of 100,000, from one thread on one core."""

from scripts.bench.context import Context
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.searching import recall_of, search_all
from scripts.bench.shards import anatomy, copy_shard, open_shard
from storage.shard import read_spec

ROWS = 100_000
_QUERIES = 1000
_WARM_UP = 500
_EFS = (32, 64, 128, 256)
_REQUIRED_RATE, _REQUIRED_RECALL = 3000.0, 0.99


def measure_search(context: Context) -> Measurement:
    """A settled shard at the default ef; then copies of it at others, for comparison."""
    rows = context.scaled(ROWS)
    corpus = context.corpus(ROWS)
    queries = corpus.queries[:_QUERIES]
    directory = context.shard(ROWS)
    with open_shard(directory, corpus.vectors.shape[1]) as writer:
        found = search_all(writer, queries, warm_up=_WARM_UP, for_s=5.0)
    found_recall = recall_of(found, corpus, rows)
    default = read_spec(directory).index.ef_search
    notes = [
        (
            f"ef {default} (default): {found}, recall@10 {found_recall:.4f} over {len(found.answers)} real "
            f"queries held out of the points; {anatomy(directory)}; after {_WARM_UP} searches of warm-up"
        )
    ]
    by_ef = {}
    for ef in _EFS:
        copy = copy_shard(directory, context.work / f"ef-{ef}", ef_search=ef)
        with open_shard(copy, corpus.vectors.shape[1]) as writer:
            other = search_all(writer, queries, warm_up=_WARM_UP, for_s=1.0)
        other_recall = recall_of(other, corpus, rows)
        by_ef[ef] = {**other.to_json(), "recall": other_recall}
        notes.append(f"ef {ef}: {other}, recall@10 {other_recall:.4f}")
    details = {"ef": default, **found.to_json(), "by_ef": by_ef, "shard": anatomy(directory).to_json()}
    return Measurement(
        "search",
        (
            Figure(f"search k=10 over {rows:,}, one core", _REQUIRED_RATE, found.rate, "/s"),
            Figure("... recall@10", _REQUIRED_RECALL, found_recall, ""),
        ),
        tuple(notes),
        details,
    )
