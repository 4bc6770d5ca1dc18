"""Row: what was acknowledged on one connection is searched on another, which may lead to another gateway."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import orjson

from scripts.bench.corpus import point_id
from scripts.bench.measurement import Figure, Measurement
from scripts.bench.serving.points import TOP_K, insert_body
from scripts.bench.serving.rest import Connection, Refused
from scripts.bench.serving.session import Session

_COLLECTION = "bench-own-writes"
_WRITERS = 4
# Also fetched by its id, on a third connection.
_FETCH_EVERY = 4


class _Seen:
    """What all writers saw."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.searches = self.fetches = self.misses = 0


def measure_read_your_writes(session: Session) -> Measurement:
    """Every step is a connection of its own: the proxy spreads them over the gateways."""
    server, points = session.vectoray, session.points
    server.create(_COLLECTION, points.vectors.shape[1])
    insert, query = server.insert_path(_COLLECTION), server.query_path(_COLLECTION)
    seen = _Seen()

    def write_and_look(row: int) -> None:
        wanted = point_id(row)
        with Connection(server.url) as connection:
            connection.send("POST", insert, insert_body(points, range(row, row + 1)))
        question = orjson.dumps(
            {"vector": points.corpus.vectors[row], "top_k": TOP_K}, option=orjson.OPT_SERIALIZE_NUMPY
        )
        with Connection(server.url) as connection:
            hits = orjson.loads(connection.send("POST", query, question))["results"]
        missed = wanted not in [hit["id"] for hit in hits]
        fetched = row % _FETCH_EVERY == 0
        if fetched:
            missed |= not _is_there(server.url, f"{insert}/{wanted}")
        with seen.lock:
            seen.searches += 1
            seen.fetches += fetched
            seen.misses += missed

    began_s = time.perf_counter()
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(write_and_look, points.unused[: session.effort.own_writes]):
            pass
    took_s = time.perf_counter() - began_s
    gateways = server.settings["VECTORAY_CLUSTER__GATEWAY_REPLICAS"]
    note = (
        f"{gateways} gateways, {_WRITERS} writers, a new connection for every request; "
        f"{seen.searches / took_s:,.0f} writes and searches /s, {seen.fetches:,} also fetched by id"
    )
    return Measurement(
        "read-your-writes",
        (Figure(f"own writes not seen, of {seen.searches:,}", 0, seen.misses, "", at_most=True),),
        (note,),
        {"searches": seen.searches, "fetches": seen.fetches, "misses": seen.misses, "seconds": took_s},
    )


def _is_there(url: str, path: str) -> bool:
    with Connection(url) as connection:
        try:
            connection.send("GET", path)
        except Refused as refused:
            if refused.status != 404:
                raise
            return False
    return True
