"""Row: far more connections than can be served, and nobody waits before asking again."""

from collections import Counter
from collections.abc import Mapping, Sequence

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving import wrk
from scripts.bench.serving.drive import Drive, Drives
from scripts.bench.serving.service import wait_until_idle
from scripts.bench.serving.session import Session

# Four times the 64 of the sweep, and about four times what two gateways admit at once: then many are refused.
_MANY = (256, 1024)
_REQUIRED = 0.8
_CALM_LIMIT_S = 20
_ALLOWED = {200, 429, 503}


def measure_overload(session: Session) -> Measurement:
    """In turns at the best number of connections and at many; goodput is of good answers."""
    effort, requests = session.effort, session.target.requests
    sweep = session.sweep or {
        level: session.target.drive(level, effort.seconds).rate for level in effort.levels
    }
    best = max(sweep, key=sweep.__getitem__)
    seen: dict[int, list[Drive]] = {connections: [] for connections in (best, *_MANY)}
    for _ in range(effort.rounds):
        for connections, drives in seen.items():
            # What was asked in vain may still be worked on.
            wait_until_idle(session.vectoray.pid, limit_s=_CALM_LIMIT_S)
            drives.append(
                wrk.drive(requests, connections=connections, seconds=effort.seconds, count_statuses=True)
            )
    peak = Drives(seen[best])
    many = {connections: Drives(seen[connections]) for connections in _MANY}
    all_drives = [drive for over in many.values() for drive in over.rounds]
    strange = sum(count for status, count in _statuses(all_drives).items() if status not in _ALLOWED)
    broken = sum(drive.broken for drive in all_drives)
    healthy = session.vectoray.is_healthy()
    goodput = (
        Figure(
            f"overload, {connections} connections: goodput to the peak", _REQUIRED, over.ratio_to(peak), "x"
        )
        for connections, over in many.items()
    )
    return Measurement(
        "overload",
        (
            *goodput,
            Figure("... answers other than 200, 429, 503", 0, strange, "", at_most=True),
            Figure("... connections broken, answers that never came", 0, broken, "", at_most=True),
            Figure("... healthy afterwards", 1, float(healthy), ""),
        ),
        (f"peak at {best} connections, {peak.rate:,.0f} /s", *_notes(many)),
        {
            "sweep": {str(level): rate for level, rate in sweep.items()},
            "peak": peak.to_json(),
            "over": {str(connections): over.to_json() for connections, over in many.items()},
        },
    )


def _notes(many: Mapping[int, Drives]) -> list[str]:
    notes = []
    for connections, over in many.items():
        statuses = sorted(_statuses(over.rounds).items())
        answered = ", ".join(f"{count:,} x {status}" for status, count in statuses)
        notes.append(f"{connections} connections: {over.rate:,.0f} good /s; answers: {answered}")
    return notes


def _statuses(drives: Sequence[Drive]) -> Counter[int]:
    counted: Counter[int] = Counter()
    for drive in drives:
        counted.update(drive.statuses)
    return counted
