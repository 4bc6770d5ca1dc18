"""What a benchmark row found: figures with what is required of them, and notes that explain them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What became of a figure."""

    REACHED = "ok"
    MISSED = "MISSED"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with a bound.

    Attributes:
        required: The bound: a least value, or a greatest one where ``at_most``.
        reached: What was measured; None when it was not.
    """

    name: str
    required: float
    reached: float | None
    unit: str
    at_most: bool = False

    @property
    def verdict(self) -> Verdict:
        """How ``reached`` compares with ``required``; a number that is none (nan) is a miss."""
        if self.reached is None:
            return Verdict.NOT_RUN
        kept = self.reached <= self.required if self.at_most else self.reached >= self.required
        return Verdict.REACHED if kept else Verdict.MISSED


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one row found.

    Attributes:
        row: The row's name.
        figures: What is judged.
        notes: Lines for people, under the figures.
        details: Everything else worth keeping, as JSON values.
        error: Why the row failed; then there are no figures.
    """

    row: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was missed. What was not run is not missed; a row that failed is."""
        return self.error is None and all(figure.verdict is not Verdict.MISSED for figure in self.figures)

    def to_json(self) -> dict[str, Any]:
        """JSON values that `from_json` reads back, with the verdicts besides."""
        figures = [{**asdict(figure), "verdict": figure.verdict.value} for figure in self.figures]
        return {
            "row": self.row,
            "ok": self.ok,
            "figures": figures,
            "notes": list(self.notes),
            "details": self.details,
            "error": self.error,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Measurement":
        """What `to_json` wrote."""
        figures = (
            Figure(**{key: item for key, item in figure.items() if key != "verdict"})
            for figure in value["figures"]
        )
        return cls(value["row"], tuple(figures), tuple(value["notes"]), value["details"], value["error"])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below this share of them (nearest rank); nan when there are none.

    Args:
        values: In any order.
        share: In (0, 1].
    """
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Times of single calls, in seconds."""

    seconds: Sequence[float]

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"

    @property
    def p50_ms(self) -> float:
        """The median."""
        return 1000 * percentile(self.seconds, 0.5)

    @property
    def p99_ms(self) -> float:
        """Only one call in a hundred took longer."""
        return 1000 * percentile(self.seconds, 0.99)

    def to_json(self) -> dict[str, float]:
        """For `Measurement.details`."""
        slowest = 1000 * max(self.seconds, default=math.nan)
        return {
            "count": len(self.seconds),
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "max_ms": slowest,
        }
