"""What a load generator saw of a system: how many answers a second, how late, and what came instead."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Drive:
    """Some seconds of requests, each connection sending its next when it has the answer to its last.

    Attributes:
        rate: Good answers a second.
        statuses: How many answers had which status, where the generator tells them apart; 0 stands for all of
            400 and more where it does not.
        broken: Connections that failed, while opening, reading or writing, and requests that got no answer.
    """

    rate: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    statuses: dict[int, int] = field(default_factory=dict)
    broken: int = 0

    @property
    def refused(self) -> int:
        """Answers that are none, of whatever kind."""
        return self.broken + sum(count for status, count in self.statuses.items() if not 200 <= status < 300)

    def to_json(self) -> dict[str, Any]:
        """For the details of a measurement."""
        return {
            "per_s": round(self.rate, 1),
            "p50_ms": self.p50_ms,
            "p90_ms": self.p90_ms,
            "p99_ms": self.p99_ms,
            "max_ms": self.max_ms,
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "broken": self.broken,
        }


@dataclass(frozen=True, slots=True)
class Drives:
    """The same measured in several rounds."""

    rounds: Sequence[Drive]

    @property
    def rate(self) -> float:
        """The median of good answers a second."""
        return statistics.median(drive.rate for drive in self.rounds)

    @property
    def p50_ms(self) -> float:
        """The median of medians."""
        return statistics.median(drive.p50_ms for drive in self.rounds)

    @property
    def p99_ms(self) -> float:
        """The median of the 99th percentiles."""
        return statistics.median(drive.p99_ms for drive in self.rounds)

    @property
    def refused(self) -> int:
        """Requests of all rounds without a good answer."""
        return sum(drive.refused for drive in self.rounds)

    def ratio_to(self, other: "Drives") -> float:
        """How many times as many answers as another system gave: the median of the ratios of rounds."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return statistics.median(one.rate / two.rate if two.rate else float("inf") for one, two in pairs)

    def __str__(self) -> str:
        refused = f", {self.refused} without a good answer" if self.refused else ""
        return f"{self.rate:,.0f} /s, p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms{refused}"

    def to_json(self) -> dict[str, Any]:
        """For the details of a measurement."""
        return {
            "per_s": round(self.rate, 1),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "rounds": [drive.to_json() for drive in self.rounds],
        }
