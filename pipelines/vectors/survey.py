"""What checking the sources of a load found: which rows are refused. Knows no files and no Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from pipelines.vectors.duplicates import SeenIds, hash_all
from pipelines.vectors.parts import Part
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import PointBatch

_NAMED = 20
_NAMED_IN_MESSAGE = 3


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that is no point, and why.

    Attributes:
        source: The file, or what it came from.
        row: Its number there, from 1.
    """

    source: str
    row: int
    reason: str

    def __str__(self) -> str:
        return f"row {self.row} of {self.source}: {self.reason}"


@dataclass(frozen=True, slots=True)
class PartSummary:
    """What is to be known of a part before any part is written.

    Attributes:
        name: The part's name.
        source: The number of its source.
        row_numbers: int64, shape (n,). Its points' rows there.
        hashes: Of their ids, by `pipelines.vectors.duplicates.hash_all`.
        refused: Rows that are no points, and why.
    """

    name: str
    source: int
    row_numbers: npt.NDArray[np.int64]
    hashes: bytes
    refused: Mapping[int, str]

    @classmethod
    def of(cls, part: Part, source: int) -> "PartSummary":
        """Of a part of the source with this number."""
        refused = {part.first_row + row: reason for row, reason in part.rows.refused.items()}
        return cls(part.name, source, part.row_numbers, hash_all(part.points.ids), refused)


class Survey:
    """Adds up the parts of all sources, in any order; `finish` comes after the last."""

    def __init__(self, sources: Sequence[str]) -> None:
        """Begin with nothing.

        Args:
            sources: What to call each source, in order.
        """
        self._sources = sources
        self._seen = SeenIds()
        self._parts: dict[str, PartSummary] = {}
        self._dropped: dict[str, list[int]] = {}
        self._refused: dict[tuple[int, int], str] = {}

    def add(self, part: PartSummary) -> None:
        """Take a part into account."""
        self._parts[part.name] = part
        self._seen.add(part.source, part.row_numbers, part.hashes)
        self._refused |= {(part.source, row): reason for row, reason in part.refused.items()}

    def finish(self) -> None:
        """Refuse the rows whose id is that of a row before them."""
        again = dict(self._seen.repeated())
        for place, (source, row) in again.items():
            self._refused[place] = f"Its id is that of row {row + 1} of {self._sources[source]}."
        places: dict[int, list[int]] = {}
        for source, row in again:
            places.setdefault(source, []).append(row)
        for part in self._parts.values():
            dropped = np.intersect1d(part.row_numbers, places.get(part.source, []))
            if len(dropped):
                self._dropped[part.name] = dropped.tolist()

    @property
    def refused_rows(self) -> int:
        """How many rows are refused."""
        return len(self._refused)

    @property
    def refused(self) -> list[RefusedRow]:
        """The first of them."""
        first = sorted(self._refused)[:_NAMED]
        return [RefusedRow(self._sources[at[0]], at[1] + 1, self._refused[at]) for at in first]

    @property
    def dropped(self) -> Mapping[str, Sequence[int]]:
        """By part, the numbers of the rows that are left out for the id of another one."""
        return self._dropped

    def points_in(self, parts: frozenset[str] | None = None) -> int:
        """How many points there are in some parts, or in all."""
        names = self._parts.keys() if parts is None else self._parts.keys() & parts
        return sum(len(self._parts[name].row_numbers) - len(self._dropped.get(name, ())) for name in names)

    def require_none_refused(self) -> None:
        """See that every row is a point.

        Raises:
            InvalidRequest: Some are not; it names the first.
        """
        if not self._refused:
            return
        named = self.refused
        listed = "; ".join(str(row).rstrip(".") for row in named[:_NAMED_IN_MESSAGE])
        count = self.refused_rows
        more = f"; and {count - _NAMED_IN_MESSAGE} more" if count > _NAMED_IN_MESSAGE else ""
        raise InvalidRequest(
            f"{count} {'row is' if count == 1 else 'rows are'} refused, and nothing was written: "
            f"{listed}{more}.",
            {"refused_rows": count, "refused": [asdict(row) for row in named]},
        )


def without(part: Part, dropped: Mapping[str, Sequence[int]]) -> PointBatch:
    """A part's points without those rows of it that are left out."""
    rows = dropped.get(part.name)
    if not rows:
        return part.points
    return part.points.take(np.flatnonzero(~np.isin(part.row_numbers, rows)).tolist())
