"""Row: questions in words, from one connection, none of them asked before."""

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving import wrk
from scripts.bench.serving.drive import Drives
from scripts.bench.serving.rows.search import RECALL
from scripts.bench.serving.session import COLLECTION, Session

_REQUIRED_MS = 10.0
_CHECKED = 100
# There are not texts enough for longer rounds.
_ROUND_S = 2


def measure_text_queries(session: Session) -> Measurement:
    """Each round asks texts that no other round asked: a cache of queries has none of them.

    The texts are sentences of the documents that are not stored, so their vectors, and with them the exact
    answers, are known.
    """
    points, effort = session.points, session.effort
    texts, vectors = points.short_texts()
    target = session.vectoray.target(
        "text", COLLECTION, points, session.folder, questions=[{"text": text} for text in texts]
    )
    recall = points.recall_of_texts(target.answers(_CHECKED), vectors)
    at, rounds = _CHECKED, []
    for _ in range(effort.rounds):
        drive = wrk.drive(target.requests.starting(at), connections=1, seconds=_ROUND_S)
        rounds.append(drive)
        at += sum(drive.statuses.values()) + 1
    seen = Drives(rounds)
    notes = [
        f"{seen}; texts of {min(map(len, texts))} to {max(map(len, texts))} characters",
        f"recall@10 {recall:.4f} of the answers by the vectors that the index was made with",
    ]
    if at > len(texts):
        notes.append(f"NOT ALL COLD: only {len(texts):,} texts, {at:,} were asked")
    return Measurement(
        "text",
        (
            Figure(
                "text query, 1 connection, cold cache, p50", _REQUIRED_MS, seen.p50_ms, "ms", at_most=True
            ),
            Figure(f"... recall@10 of {_CHECKED} texts", RECALL, recall, ""),
            Figure("... requests without a good answer", 0, seen.refused, "", at_most=True),
        ),
        tuple(notes),
        {**seen.to_json(), "recall": recall},
    )
