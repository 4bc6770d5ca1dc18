"""What a load of ready vectors did."""

from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.vectors.survey import RefusedRow


@dataclass(slots=True)
class LoadReport:
    """Counts of one load.

    Attributes:
        collection: Its name.
        job: Names the load.
        rows: Points of the source that are in the collection now.
        rows_before: Of those, how many an earlier run of the same load had stored.
        refused_rows: How many rows were left out.
        refused: The first of them, and why.
        seconds: How long this run took, checks included.
    """

    collection: str
    job: str = ""
    rows: int = 0
    rows_before: int = 0
    refused_rows: int = 0
    refused: list[RefusedRow] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rows_per_s(self) -> float:
        """Points that this run stored, per second."""
        return round((self.rows - self.rows_before) / self.seconds, 1) if self.seconds else 0.0

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "rows_per_s": self.rows_per_s}
