"""What an ingestion run did, added up from its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.sources import Unread
from pipelines.stages import FAILED, REMOVE, UNCHANGED, WRITE


@dataclass(slots=True)
class Report:
    """Counts of one run.

    Attributes:
        documents: Documents that were looked at, failed ones included.
        failed: Documents of which nothing was stored, and why.
        skipped: Files that are no documents.
        seconds: How long the run took.
    """

    documents: int = 0
    failed: list[Unread] = field(default_factory=list)
    skipped: Sequence[Unread] = ()
    chunks_written: int = 0
    chunks_unchanged: int = 0
    chunks_removed: int = 0
    seconds: float = 0.0

    def add(self, row: Mapping[str, Any]) -> None:
        """Count one row that has passed every stage."""
        kind = row["kind"]
        if kind == WRITE:
            self.chunks_written += 1
        elif kind == REMOVE:
            self.chunks_removed += 1
        elif kind == UNCHANGED:
            self.documents += 1
            self.chunks_unchanged += int(row["count"])
        elif kind == FAILED:
            self.documents += 1
            self.failed.append(Unread(row["source"], row["reason"]))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return asdict(self)
