"""How much a run measures: how many points, and how often and how long."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """One run.

    Attributes:
        points: In each collection that is searched.
        batch_rows: In each request that inserts many.
        parts: A collection is loaded in this many parts, each timed.
        rounds: How often each is measured; the systems take turns, and the median counts.
        seconds: Of each measurement.
        levels: Numbers of connections.
        recall_queries: How many answers of each system are compared with the exact ones.
        own_writes: Writes that are looked for as soon as they are acknowledged.
    """

    points: int = 20_000
    batch_rows: int = 500
    parts: int = 3
    rounds: int = 3
    seconds: float = 5.0
    levels: tuple[int, ...] = (1, 4, 16, 64)
    recall_queries: int = 500
    own_writes: int = 10_000


FULL = Effort()
# Tries everything out; its figures say little.
QUICK = Effort(points=3_000, parts=2, rounds=1, seconds=2.0, recall_queries=100, own_writes=400)
