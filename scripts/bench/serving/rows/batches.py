"""Row: batches of 500 over REST, durable, beside Chroma's; timed while the collections are loaded."""

import statistics

from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving.loading import CONNECTIONS
from scripts.bench.serving.peers import chroma
from scripts.bench.serving.session import Session
from scripts.bench.serving.vectoray_server import NAME
from scripts.bench.table import number

_REQUIRED = 4.0


def measure_batches(session: Session) -> Measurement:
    """The median ratio of the parts of the load, each of which both systems took in turn."""
    ours, theirs = session.load_rates[NAME], session.load_rates.get(chroma.NAME)
    ratio = None
    if theirs:
        ratio = statistics.median(one / two for one, two in zip(ours, theirs, strict=True))
    size = session.effort.batch_rows
    notes = [
        f"{system}: {', '.join(map(number, rates))} /s in parts of the load, from {CONNECTIONS} connections"
        for system, rates in session.load_rates.items()
    ]
    if theirs is None:
        notes.append(f"no Chroma: {session.missing.get('chroma', 'not started')}")
    figure = Figure(f"REST batches of {size} inserted, durable, to Chroma", _REQUIRED, ratio, "x")
    details = {"rows_per_s": session.load_rates, "cores_used_by_others": session.load_others}
    return Measurement("batches", (figure,), tuple(notes), details)
