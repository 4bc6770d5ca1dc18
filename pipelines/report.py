"""What an ingestion run did, added up from the parcels that have passed every stage."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.parcels import Part
from pipelines.sources import Skipped, Unread

MOST_NAMED = 1000
"""So many are named; the others are counted."""


@dataclass(slots=True)
class Report:
    """Counts of one run.

    Attributes:
        documents: Documents that were looked at, failed ones included.
        documents_failed: Documents of which not everything is stored.
        failed: The first of them, and why.
        files_skipped: Files that are no documents.
        skipped: The first of them.
        seconds: How long the run took.
    """

    documents: int = 0
    documents_failed: int = 0
    failed: list[Unread] = field(default_factory=list)
    files_skipped: int = 0
    skipped: list[Unread] = field(default_factory=list)
    chunks_written: int = 0
    chunks_unchanged: int = 0
    chunks_removed: int = 0
    seconds: float = 0.0
    _unfinished: dict[str, "_Unfinished"] = field(default_factory=dict)

    def add(self, parcel: Iterable[Part | Unread]) -> None:
        """Count a parcel that has passed every stage."""
        for item in parcel:
            if isinstance(item, Part):
                self._add_part(item)
            elif isinstance(item, Skipped):
                self.files_skipped += 1
                _name(item, self.skipped)
            else:
                self.documents += 1
                self._fail(item)

    def _add_part(self, part: Part) -> None:
        self.chunks_written += part.written
        self.chunks_unchanged += 0 if part.reason else part.unchanged
        self.chunks_removed += part.removed
        document = self._unfinished.setdefault(part.uri, _Unfinished(part.parts))
        document.parts_left -= 1
        document.reason = document.reason or part.reason
        if document.parts_left == 0:
            del self._unfinished[part.uri]
            self.documents += 1
            if document.reason:
                self._fail(Unread(part.source, document.reason))

    def _fail(self, unread: Unread) -> None:
        self.documents_failed += 1
        _name(unread, self.failed)

    @property
    def chunks(self) -> int:
        """Chunks that are in the collection now because of the run, or were before."""
        return self.chunks_written + self.chunks_unchanged

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        told = {name: value for name, value in asdict(self).items() if not name.startswith("_")}
        told["chunks_per_s"] = round(self.chunks / self.seconds, 1) if self.seconds else 0.0
        return told


@dataclass(slots=True)
class _Unfinished:
    parts_left: int
    reason: str = ""


def _name(unread: Unread, among: list[Unread]) -> None:
    if len(among) < MOST_NAMED:
        among.append(unread)
