"""Row: REST inserts of one point each from 16 connections, durable when they are answered."""

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving import wrk
from scripts.bench.serving.drive import Drives
from scripts.bench.serving.points import insert_body
from scripts.bench.serving.rest import Connection
from scripts.bench.serving.session import Session

_COLLECTION = "bench-single-inserts"
_CONNECTIONS = 16
_REQUIRED = 800.0
_BODIES = 40_000
_WARM_UP_S = 1
_CHECKS = 100


def measure_single_inserts(session: Session) -> Measurement:
    """A new collection; each round writes points that were not written before, as long as there are any."""
    server, effort = session.vectoray, session.effort
    server.create(_COLLECTION, session.points.vectors.shape[1])
    rows = list(session.points.unused[:_BODIES])
    # The last rounds begin where the first ones cannot have come to.
    starts = [len(rows) * number // (effort.rounds + 1) for number in range(effort.rounds + 1)]
    bodies = [insert_body(session.points, range(row, row + 1)) for row in rows]
    path = wrk.write_bodies(session.folder / "single-inserts.jsonl", bodies)
    requests = wrk.Requests(server.url + server.insert_path(_COLLECTION), path)
    wrk.drive(requests.starting(starts[0]), connections=_CONNECTIONS, seconds=_WARM_UP_S)
    rounds = [
        wrk.drive(requests.starting(start), connections=_CONNECTIONS, seconds=effort.seconds)
        for start in starts[1:]
    ]
    seen = Drives(rounds)
    written = [
        rows[at % len(rows)]
        for start, drive in zip(starts[1:], rounds, strict=True)
        # wrk stops amid requests: the last ones of each connection may be unanswered.
        for at in range(start, start + max(0, round(drive.rate * effort.seconds) - _CONNECTIONS))
    ]
    lost = _not_found(session, written[:: max(1, len(written) // _CHECKS)][:_CHECKS])
    return Measurement(
        "single-inserts",
        (
            Figure(f"single REST inserts, {_CONNECTIONS} connections, durable", _REQUIRED, seen.rate, "/s"),
            Figure("... requests without a good answer", 0, seen.refused, "", at_most=True),
            Figure(f"... of {_CHECKS} acknowledged points, not found", 0, lost, "", at_most=True),
        ),
        (f"{seen}; a new collection, its tail searched by nobody meanwhile",),
        seen.to_json(),
    )


def _not_found(session: Session, rows: list[int]) -> int:
    path = session.vectoray.insert_path(_COLLECTION)
    with Connection(session.vectoray.url) as connection:
        found = [connection.get(f"{path}/doc-{row:09d}")["payload"] for row in rows]
    return sum(payload != session.points.payload(row) for row, payload in zip(rows, found, strict=True))
