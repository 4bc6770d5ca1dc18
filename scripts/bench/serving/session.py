"""The systems of one run: started, loaded with the same points, at rest before anything is measured."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from scripts.bench.other_load import CpuSeconds
from scripts.bench.serving.effort import Effort
from scripts.bench.serving.environment import NotToBeHad
from scripts.bench.serving.loading import send_all
from scripts.bench.serving.peers import bare, chroma, pgvector
from scripts.bench.serving.points import Points, insert_body
from scripts.bench.serving.service import wait_until_idle
from scripts.bench.serving.target import HttpTarget, Target
from scripts.bench.serving.vectoray_server import NAME, VectorayServer

COLLECTION = "bench"
# Collections of other numbers of shards than the default.
SHARDED = {1: "bench-1-shard", 4: "bench-4-shards"}
_QDRANT = "no package registry carries its server as a program; its Python package is a client"
_IDLE_LIMIT_S = 20
_T = TypeVar("_T", chroma.Chroma, bare.Bare, pgvector.PgVector)


@dataclass(slots=True)
class Session:
    """Everything that a row may ask.

    Attributes:
        folder: For requests and results.
        vectoray: The server; it runs.
        target: Its collection of default settings.
        peers: The other systems that answer searches.
        missing: Why others do not.
        load_rates: Rows inserted per second, by system, for each part of the load.
        load_others: Cores that other processes used during the load.
        rest: How long Vectoray's collections took to come to rest, in words.
        sweep: Answers per second at each number of connections, once a row has measured it.
        pids: Processes whose descendants belong to this run.
        ended_cpu_s: Processor time of others that belonged to it and have ended.
    """

    folder: Path
    effort: Effort
    points: Points
    vectoray: VectorayServer
    target: HttpTarget
    peers: list[Target] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=lambda: {"Qdrant": _QDRANT})
    load_rates: dict[str, list[float]] = field(default_factory=dict)
    load_others: float = 0.0
    rest: str = ""
    sweep: dict[int, float] = field(default_factory=dict)
    pids: list[int] = field(default_factory=list)
    ended_cpu_s: float = 0.0


@contextmanager
def open_session(folder: Path, effort: Effort, points: Points, needs: frozenset[str]) -> Iterator[Session]:
    """Start the systems, load them, wait until they rest; stop them in the end.

    Args:
        folder: Of this run.
        effort: How much to load.
        points: What to load.
        needs: Of ``"chroma"``, ``"bare"``, ``"pgvector"`` (those peers) and ``"shards"`` (`SHARDED`).

    Raises:
        RuntimeError: Vectoray did not start.
        Refused: It did not take the points.
    """
    with ExitStack() as stack:
        server = VectorayServer(folder / "data")
        stack.callback(server.stop)
        sharded = dict(SHARDED) if "shards" in needs else {}
        dimension = points.vectors.shape[1]
        for shards, name in sharded.items():
            say(f"Starting Vectoray with {shards} shards to a collection")
            server.start({"VECTORAY_CLUSTER__SHARDS_PER_COLLECTION": str(shards)})
            server.create(name, dimension)
            server.stop()
        say("Starting Vectoray")
        server.start()
        server.create(COLLECTION, dimension)
        target = server.target(NAME, COLLECTION, points, folder)
        session = Session(folder, effort, points, server, target, pids=[server.pid])
        rival = _peer(session, stack, needs, "chroma", lambda: chroma.Chroma(folder))
        before = CpuSeconds.now(session.pids)
        _load(session, rival)
        session.load_others = CpuSeconds.now(session.pids).others_since(before)
        for name in sharded.values():
            say(f"Loading {name}")
            send_all(server.url, server.insert_path(name), _bodies(session, range(points.stored)))
        if rival is not None:
            session.peers.append(rival.target(points))
        yardstick = _peer(session, stack, needs, "bare", lambda: bare.Bare(folder, points))
        if yardstick is not None:
            session.peers.append(yardstick.target())
        database = _peer(session, stack, needs, "pgvector", lambda: pgvector.PgVector(folder, points))
        if database is not None:
            session.peers.append(database)
        say("Waiting until all collections rest")
        took_s = [server.wait_until_at_rest(name) for name in (COLLECTION, *sharded.values())]
        session.rest = (
            "measured with every shard at rest: one graph each, fewer than 512 rows beside it"
            if None not in took_s
            else "MEASURED WHILE MERGING: not every shard came to rest within some minutes"
        )
        yield session


def say(what: str) -> None:
    """Tell whoever waits what is being done."""
    print(f"\n{what} ...", end="", file=sys.stderr, flush=True)


def _peer(
    session: Session, stack: ExitStack, needs: frozenset[str], name: str, start: Callable[[], _T]
) -> _T | None:
    if name not in needs:
        return None
    say(f"Starting {name}")
    try:
        peer = start()
    except (NotToBeHad, RuntimeError, OSError) as error:
        session.missing[name] = str(error)
        return None
    stack.callback(peer.stop)
    session.pids.append(peer.pid)
    return peer


def _load(session: Session, rival: chroma.Chroma | None) -> None:
    """Load Vectoray and Chroma by turns, a part each, every part once the other one has calmed down."""
    stored, parts = session.points.stored, session.effort.parts
    batches = stored // session.effort.batch_rows
    marks = [session.effort.batch_rows * (batches * part // parts) for part in range(parts)] + [stored]
    server = session.vectoray
    for start, stop in pairwise(marks):
        say(f"Loading points {start:,} to {stop:,}")
        bodies = _bodies(session, range(start, stop))
        took_s = send_all(server.url, server.insert_path(COLLECTION), bodies)
        session.load_rates.setdefault(NAME, []).append((stop - start) / took_s)
        if rival is None:
            continue
        wait_until_idle(server.pid, limit_s=_IDLE_LIMIT_S)
        bodies = [chroma.add_body(session.points, rows) for rows in _batches(session, range(start, stop))]
        took_s = send_all(rival.url, rival.insert_path, bodies)
        session.load_rates.setdefault(chroma.NAME, []).append((stop - start) / took_s)
        wait_until_idle(rival.pid, limit_s=_IDLE_LIMIT_S)


def _bodies(session: Session, rows: range) -> list[bytes]:
    return [insert_body(session.points, part) for part in _batches(session, rows)]


def _batches(session: Session, rows: range) -> Sequence[range]:
    size = session.effort.batch_rows
    return [range(at, min(at + size, rows.stop)) for at in range(rows.start, rows.stop, size)]
