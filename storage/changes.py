"""What callers ask a shard to change, and what that comes to as rows of the log."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.records import Records
from storage.view import ShardView
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
    """Delete every point whose payload meets a condition, as of its turn; the result is their ids."""

    condition: Filter
    done: "Future[list[str]]" = field(default_factory=Future)
    size_bytes: int = 0
    rows: int = 0


Change = Write | Delete | DeleteMatching


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
        # The last write of each id in this group: its number, or 0 for a delete.
        self._latest: dict[str, int] = {}
        self._ids: list[str] = []
        self._payloads: list[bytes] = []
        self._texts: list[str | None] = []
        self._deleted_rows: list[int] = []
        self._matrices = [np.empty((0, view.dimension), dtype=np.float32)]
        self._answers = [(change, self._resolve(change)) for change in group]
        deleted = np.zeros(len(self._ids), dtype=np.bool_)
        deleted[self._deleted_rows] = True
        self.records = Records(
            first_seq=self._first_seq,
            ids=self._ids,
            updated_ms=np.full(len(self._ids), time.time_ns() // 1_000_000, dtype=np.int64),
            deleted=deleted,
            vectors=np.concatenate(self._matrices),
            payloads=self._payloads,
            texts=self._texts,
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
        refused = self._refused(write)
        if refused and write.atomic:
            return WriteResult(0, refused)
        if refused:
            without = set(refused)
            batch = batch.take([row for row in range(len(batch)) if row not in without])
        first = self._first_seq + len(self._ids)
        self._latest.update(zip(batch.ids, range(first, first + len(batch)), strict=True))
        self._ids += batch.ids
        self._payloads += batch.payloads
        self._texts += batch.texts
        self._matrices.append(batch.vectors)
        return WriteResult(len(batch), refused)

    def _refused(self, write: Write) -> tuple[int, ...]:
        """Positions of the rows that the state, with the rows before them, does not allow."""
        if write.mode is WriteMode.UPSERT and write.expected_seqs is None:
            return ()
        refused = []
        seqs = self._seqs_of(write.batch.ids)
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
        existing = [point_id for point_id, seq in self._seqs_of(ids).items() if seq]
        self._latest.update(dict.fromkeys(existing, 0))
        self._deleted_rows += range(len(self._ids), len(self._ids) + len(existing))
        self._ids += existing
        self._payloads += [EMPTY_PAYLOAD] * len(existing)
        self._texts += [None] * len(existing)
        return existing

    def _seqs_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Of each id, in order, the write that made its live point; 0 when there is none."""
        distinct = list(dict.fromkeys(ids))
        unwritten = [point_id for point_id in distinct if point_id not in self._latest]
        seqs = dict(zip(unwritten, self._view.seqs_of(unwritten), strict=True))
        return {
            point_id: seqs[point_id] if point_id in seqs else self._latest[point_id] for point_id in distinct
        }
