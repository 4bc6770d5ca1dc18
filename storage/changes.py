"""What callers ask a shard to change, and what that comes to as rows of the log."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from time import time_ns
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.columns import chunk_column
from storage.records import Records, WriteKind
from storage.view import ShardView, Written
from vectoray.core.filters import Filter
from vectoray.core.model import EMPTY_PAYLOAD, PointBatch, WriteMode, WriteResult


@dataclass
class Write:
    """Points to write.

    Attributes:
        mode: What becomes of ids that are there already, or are not.
        atomic: Whether one refused row refuses the whole batch.
        expected_seqs: uint64, shape (n,): rows are refused unless their id was last written by just that
            write. None: any.
    """

    batch: PointBatch
    mode: WriteMode = WriteMode.UPSERT
    atomic: bool = True
    expected_seqs: npt.NDArray[np.uint64] | None = None
    done: "Future[WriteResult]" = field(default_factory=Future)

    @cached_property
    def size_bytes(self) -> int:
        """About how much memory the write holds while it waits."""
        characters = sum(map(len, self.batch.payloads)) + sum(len(text or "") for text in self.batch.texts)
        characters += sum(len(source or "") for source in self.batch.sources or ())
        return self.batch.vectors.nbytes + characters + 64 * len(self.batch)

    @property
    def rows(self) -> int:
        """How many rows it may add to a group."""
        return len(self.batch)


@dataclass
class Delete:
    """Ids to delete; the result is those that existed, in the order given."""

    ids: Sequence[str]
    done: "Future[list[str]]" = field(default_factory=Future)

    @cached_property
    def size_bytes(self) -> int:
        """About how much memory the write holds while it waits."""
        return 64 * len(self.ids)

    @property
    def rows(self) -> int:
        """How many rows it may add to a group."""
        return len(self.ids)


@dataclass
class DeleteMatching:
    """Delete every point that meets a condition, as of its turn; the result is their ids."""

    condition: Filter
    done: "Future[list[str]]" = field(default_factory=Future)
    size_bytes: int = 0
    rows: int = 0


Change = Write | Delete | DeleteMatching

_KINDS = {
    WriteMode.UPSERT: WriteKind.UPSERT,
    WriteMode.INSERT: WriteKind.INSERT,
    WriteMode.UPDATE: WriteKind.UPDATE,
}


class Resolution:
    """A group of changes resolved in order of arrival: its rows, and the answer to each change."""

    def __init__(self, view: ShardView, group: Sequence[Change]) -> None:
        """Resolve a group against the newest state. For the thread that applies writes.

        Args:
            view: The state before the group.
            group: A `DeleteMatching` comes first, if there is one.
        """
        self._view = view
        self._first_seq = view.head.seq + 1
        self._now_ms = time_ns() // 1_000_000
        # What the group has made of each of its ids so far; None for a delete.
        self._latest: dict[str, Written | None] = {}
        self._ids: list[str] = []
        self._payloads: list[bytes] = []
        self._texts: list[str | None] = []
        self._sources: list[str | None] = []
        self._chunk_indexes = [chunk_column(None, 0)]
        self._created_ms: list[int] = []
        self._kinds = bytearray()
        self._matrices = [np.empty((0, view.dimension), dtype=np.float32)]
        self._answers = [(change, self._resolve(change)) for change in group]
        self.records = Records(
            first_seq=self._first_seq,
            ids=self._ids,
            updated_ms=np.full(len(self._ids), self._now_ms, dtype=np.int64),
            kinds=np.frombuffer(bytes(self._kinds), dtype=np.uint8),
            vectors=np.concatenate(self._matrices),
            payloads=self._payloads,
            texts=self._texts,
            sources=self._sources,
            chunk_indexes=np.concatenate(self._chunk_indexes),
            created_ms=np.array(self._created_ms, dtype=np.int64),
        )

    def answer(self) -> None:
        """Tell every caller what became of their change."""
        for change, result in self._answers:
            # Each kind of change resolves to its own kind of result.
            done: Future[Any] = change.done
            done.set_result(result)

    def _resolve(self, change: Change) -> WriteResult | list[str]:
        if isinstance(change, Write):
            return self._write(change)
        if isinstance(change, Delete):
            return self._delete(change.ids)
        return self._delete(self._view.matching_ids(change.condition))

    def _write(self, write: Write) -> WriteResult:
        batch = write.batch
        known = self._written(batch.ids)
        refused = self._refused(write, known)
        if refused and write.atomic:
            return WriteResult(0, refused)
        if refused:
            without = set(refused)
            batch = batch.take([row for row in range(len(batch)) if row not in without])
        first = self._first_seq + len(self._ids)
        # What is there keeps its time, and an id that comes twice in the batch was made by it.
        created_ms = [
            self._now_ms if (before := known[point_id]) is None else before.created_ms
            for point_id in batch.ids
        ]
        seqs = range(first, first + len(batch))
        self._latest.update(zip(batch.ids, map(Written, seqs, created_ms), strict=True))
        self._ids += batch.ids
        self._kinds += bytes([_KINDS[write.mode]]) * len(batch)
        self._payloads += batch.payloads
        self._texts += batch.texts
        self._sources += batch.sources or [None] * len(batch)
        self._chunk_indexes.append(chunk_column(batch.chunk_indexes, len(batch)))
        self._created_ms += created_ms
        self._matrices.append(batch.vectors)
        return WriteResult(len(batch), refused)

    def _refused(self, write: Write, known: Mapping[str, Written | None]) -> tuple[int, ...]:
        """Positions of the rows that the state, with the rows before them, does not allow."""
        if write.mode is WriteMode.UPSERT and write.expected_seqs is None:
            return ()
        refused = []
        seqs = {point_id: 0 if one is None else one.seq for point_id, one in known.items()}
        for row, point_id in enumerate(write.batch.ids):
            seq = seqs[point_id]
            if (
                (write.mode is WriteMode.INSERT and seq)
                or (write.mode is WriteMode.UPDATE and not seq)
                or (write.expected_seqs is not None and seq != int(write.expected_seqs[row]))
            ):
                refused.append(row)
            else:
                # Its number is not known before all rows are; that it is there is what counts.
                seqs[point_id] = -1
        return tuple(refused)

    def _delete(self, ids: Sequence[str]) -> list[str]:
        existing = [point_id for point_id, one in self._written(ids).items() if one is not None]
        self._latest.update(dict.fromkeys(existing))
        self._ids += existing
        self._kinds += bytes([WriteKind.DELETE]) * len(existing)
        self._payloads += [EMPTY_PAYLOAD] * len(existing)
        self._texts += [None] * len(existing)
        self._sources += [None] * len(existing)
        self._chunk_indexes.append(chunk_column(None, len(existing)))
        self._created_ms += [0] * len(existing)
        return existing

    def _written(self, ids: Sequence[str]) -> dict[str, Written | None]:
        """Of each id, in order, the writes that made its live point; None when there is none."""
        distinct = list(dict.fromkeys(ids))
        untouched = [point_id for point_id in distinct if point_id not in self._latest]
        before = dict(zip(untouched, self._view.written(untouched), strict=True))
        return {
            point_id: before[point_id] if point_id in before else self._latest[point_id]
            for point_id in distinct
        }
