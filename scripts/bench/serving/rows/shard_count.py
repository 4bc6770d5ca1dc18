"""Row: the same points in four shards and in one, on one node."""

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving.rows.search import RECALL
from scripts.bench.serving.session import SHARDED, Session
from scripts.bench.serving.target import in_turns

_CONNECTIONS = 16
_REQUIRED = 0.7


def measure_shard_count(session: Session) -> Measurement:
    """Both collections are on the same server, and are asked in turns."""
    effort = session.effort
    targets = [
        session.vectoray.target(f"{shards} shard", name, session.points, session.folder)
        for shards, name in SHARDED.items()
    ]
    recalls = [session.points.recall(target.answers(effort.recall_queries)) for target in targets]
    found = in_turns(targets, [_CONNECTIONS], rounds=effort.rounds, seconds=effort.seconds)
    one, four = (found[target.name][_CONNECTIONS] for target in targets)
    return Measurement(
        "shards",
        (
            Figure("4 shards on one node, to 1 shard", _REQUIRED, four.ratio_to(one), "x"),
            Figure("... the lesser recall@10", RECALL, min(recalls), ""),
            Figure("... requests without a good answer", 0, one.refused + four.refused, "", at_most=True),
        ),
        (f"{_CONNECTIONS} connections; {session.rest}", f"1 shard: {one}", f"4 shards: {four}"),
        {"one": one.to_json(), "four": four.to_json(), "recall": recalls},
    )
