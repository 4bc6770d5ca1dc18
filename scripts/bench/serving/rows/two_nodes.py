"""Row: two Ray nodes, half of the shards on the one that the gateway asked is not on.

It is the last row: the server of the others is stopped first, which would take a tenth of a processor.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from cluster.placement import place
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.other_load import cpu_s_of_family
from scripts.bench.serving.loading import send_all
from scripts.bench.serving.points import insert_body
from scripts.bench.serving.rows.search import RECALL
from scripts.bench.serving.session import COLLECTION, Session
from scripts.bench.serving.target import in_turns
from scripts.bench.serving.two_node_server import NODES, SHARDS, TwoNodes
from scripts.bench.serving.vectoray_server import VectorayServer

_RATE, _P50_MS = 1000.0, 5.0
_FEW, _MANY = 1, 16

Launch = Callable[[Path], AbstractContextManager[TwoNodes]]
"""Starts a server over two nodes on a new data folder, half of its shard hosts on each, and stops it."""


def measure_two_nodes(session: Session, launch: Launch) -> Measurement:
    """Loaded and at rest like the others."""
    session.ended_cpu_s += cpu_s_of_family(session.vectoray.pid)
    session.pids.remove(session.vectoray.pid)
    session.vectoray.stop()
    with launch(session.folder / "two-nodes") as (server, pids):
        found = _measure(session, server)
        session.ended_cpu_s += sum(map(cpu_s_of_family, pids))
    return found


def _measure(session: Session, server: VectorayServer) -> Measurement:
    points, effort = session.points, session.effort
    _create_by_halves(server, points.vectors.shape[1])
    starts = range(0, points.stored, effort.batch_rows)
    batches = (range(at, min(at + effort.batch_rows, points.stored)) for at in starts)
    send_all(server.url, server.insert_path(COLLECTION), [insert_body(points, rows) for rows in batches])
    rested = server.wait_until_at_rest(COLLECTION) is not None
    target = server.target("two nodes", COLLECTION, points, session.folder)
    recall = points.recall(target.answers(effort.recall_queries))
    found = in_turns([target], [_FEW, _MANY], rounds=effort.rounds, seconds=effort.seconds)[target.name]
    notes = [f"{connections} connections: {drives}" for connections, drives in found.items()]
    if not rested:
        notes.append("MEASURED WHILE MERGING: not every shard came to rest")
    figures = _figures(found[_MANY].rate, found[_FEW].p50_ms, recall)
    details = {str(connections): drives.to_json() for connections, drives in found.items()}
    return Measurement("two-nodes", figures, tuple(notes), details)


def _create_by_halves(server: VectorayServer, dimension: int) -> None:
    """Make the collection; where its shards lie is decided by its id, so some are made in vain."""
    while sum(place(server.create(COLLECTION, dimension), SHARDS, NODES)) != SHARDS // NODES:
        server.drop(COLLECTION)


def _figures(rate: float, p50_ms: float, recall: float) -> tuple[Figure, ...]:
    return (
        Figure(f"two nodes, half the shards remote, {_MANY} connections", _RATE, rate, "/s"),
        Figure("... p50 at 1 connection", _P50_MS, p50_ms, "ms", at_most=True),
        Figure("... recall@10", RECALL, recall, ""),
    )
