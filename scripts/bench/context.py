"""What a row is told: how large the run is, and where its shards and points are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.corpus import Corpus, load_corpus
from scripts.bench.measurement import Measurement


@dataclass(frozen=True, slots=True)
class Context:
    """One run of the benchmarks.

    Attributes:
        work: A folder of the run's own, on the disk that is measured.
        scale: What every number of points is multiplied by; 1 for figures that count.
        full: Whether the rows that take many minutes run too.
    """

    work: Path
    scale: float = 1.0
    full: bool = False

    def scaled(self, rows: int) -> int:
        """A number of points at this scale."""
        return max(1000, round(rows * self.scale))

    def shard(self, rows: int) -> Path:
        """Where the settled shard of ``scaled(rows)`` points is."""
        return self.work / f"settled-{self.scaled(rows)}"

    def corpus(self, rows: int) -> Corpus:
        """``scaled(rows)`` points at least."""
        return load_corpus(self.scaled(rows))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table, measured in a process of its own.

    Attributes:
        name: What ``--only`` takes.
        title: What is measured, in words.
        cores: How many the process may use.
        shards: Sizes of the settled shards that it needs.
        shards_if_full: Those it needs only in a full run.
        leaves: The size of the settled shard that it leaves behind for others.
    """

    name: str
    title: str
    measure: Callable[[Context], Measurement]
    cores: int = 2
    shards: tuple[int, ...] = ()
    shards_if_full: tuple[int, ...] = ()
    leaves: int | None = None

    def needs(self, context: Context) -> tuple[int, ...]:
        """Sizes of the settled shards that this run needs."""
        return self.shards + (self.shards_if_full if context.full else ())
