"""Row: searches among the tenth of the points that have a value in their payload, beside all points."""

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving.points import GROUPS
from scripts.bench.serving.rows.search import RECALL
from scripts.bench.serving.session import COLLECTION, Session
from scripts.bench.serving.target import in_turns

_CONNECTIONS = 16
_REQUIRED = 0.6


def measure_filtered(session: Session) -> Measurement:
    """Queries ask for each of the ten values in turn, so ten filters are repeated."""
    effort = session.effort
    questions = [
        {"vector": query, "filters": {"group": number % GROUPS}}
        for number, query in enumerate(session.points.queries)
    ]
    filtered = session.vectoray.target(
        "filtered", COLLECTION, session.points, session.folder, questions=questions
    )
    recall = session.points.recall_in_groups(filtered.answers(effort.recall_queries))
    found = in_turns([session.target, filtered], [_CONNECTIONS], rounds=effort.rounds, seconds=effort.seconds)
    all_points, tenth = found[session.target.name][_CONNECTIONS], found[filtered.name][_CONNECTIONS]
    return Measurement(
        "filtered",
        (
            Figure("filtered 10 %, to unfiltered", _REQUIRED, tenth.ratio_to(all_points), "x"),
            Figure("... recall@10 among the matching", RECALL, recall, ""),
            Figure("... requests without a good answer", 0, tenth.refused, "", at_most=True),
        ),
        (f"{_CONNECTIONS} connections; {session.rest}", f"filtered: {tenth}", f"unfiltered: {all_points}"),
        {"filtered": tenth.to_json(), "unfiltered": all_points.to_json(), "recall": recall},
    )
