"""Adoption: the owner's part in a bulk load. Fragments that workers wrote become segments of the shard."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import time_ns

import numpy as np
import numpy.typing as npt

from storage import bulk
from storage.commit import GroupCommit
from storage.head import LiveSegment
from storage.owned_shard import OwnedShard
from storage.sealing import seal
from storage.segment import Segment
from storage.segment_files import adopt_segment
from storage.tail import ALIVE


def commit_part(
    owned: OwnedShard, commits: GroupCommit, job: str, part: str, fragments: Sequence[Path], *, seal_rows: int
) -> bool:
    """As `storage.writer.ShardWriter.commit_fragments`. Within a `OwnedShard.step`."""
    bulk.note_activity(owned.directory, job)
    parts = owned.manifest.jobs.get(job, ())
    done = part not in parts
    jobs = {**owned.manifest.jobs, job: tuple(sorted({*parts, part}))}
    if not done:
        owned.mark_adopted()
    elif not fragments:
        owned.publish(replace(owned.manifest, jobs=jobs))
    else:
        with commits.paused():
            # What is in the tail was acknowledged before: the new rows come after it.
            while owned.manifest.sealed_seq < owned.view.head.seq:
                seal(owned, seal_rows=seal_rows)
            _adopt(owned, fragments, jobs)
    for fragment in fragments:
        shutil.rmtree(fragment, ignore_errors=True)
    return done


def forget(owned: OwnedShard, job: str) -> None:
    """As `storage.writer.ShardWriter.forget_job`. Within a `OwnedShard.step`."""
    if job in owned.manifest.jobs:
        jobs = {name: parts for name, parts in owned.manifest.jobs.items() if name != job}
        owned.publish(replace(owned.manifest, jobs=jobs))
    bulk.remove_fragments(owned.directory, job)


def forget_abandoned(owned: OwnedShard) -> None:
    """Forget the jobs that were left alone for long, and what they left. Within a `OwnedShard.step`."""
    abandoned = bulk.abandoned_places(owned.directory)
    jobs = {}
    for job, parts in owned.manifest.jobs.items():
        place = bulk.place_of(owned.directory, job)
        if place not in abandoned:
            jobs[job] = parts
            if not place.is_dir():
                # A restored shard has the ledger alone; whoever goes on with the load has as long as others.
                bulk.note_activity(owned.directory, job)
    if len(jobs) < len(owned.manifest.jobs):
        owned.publish(replace(owned.manifest, jobs=jobs))
    for place in abandoned:
        shutil.rmtree(place, ignore_errors=True)


def _adopt(owned: OwnedShard, fragments: Sequence[Path], jobs: Mapping[str, tuple[str, ...]]) -> None:
    """Publish fragments as segments, with the ledger that says so. No write is committed meanwhile."""
    head = owned.view.head
    seq, adopted_ms = head.seq, time_ns() // 1_000_000
    # Until all is well, ends of rows are noted in copies.
    lives = [LiveSegment(live.segment, live.killed_at.copy()) for live in head.segments]
    segments: list[Segment] = []
    try:
        for fragment in fragments:
            rows = Segment(fragment, owned.spec.metric, owned.spec.index, verify=True)
            created_ms = _end_replaced(lives, rows, first_seq=seq + 1, now_ms=adopted_ms)
            directory = owned.new_segment()
            adopt_segment(
                fragment, directory, first_seq=seq + 1, updated_ms=adopted_ms, created_ms=created_ms
            )
            segments.append(owned.open_segment(directory))
            lives.append(LiveSegment(segments[-1], np.full(len(rows), ALIVE, dtype=np.uint64)))
            seq += len(rows)
        dead: dict[str, str] = {}
        for live in lives:
            dead |= owned.dead_file(live.segment.name, live.killed_at, seq)
    except BaseException:
        for segment in segments:
            shutil.rmtree(segment.directory, ignore_errors=True)
        raise
    owned.publish(
        replace(
            owned.manifest,
            sealed_seq=seq,
            adopted=(*owned.manifest.adopted, (head.seq + 1, seq)),
            segments=(*owned.manifest.segments, *(segment.name for segment in segments)),
            dead=dead,
            last_write_ms=max(owned.manifest.last_write_ms, adopted_ms),
            jobs=jobs,
        ),
        lambda: owned.view.adopt(tuple(lives), seq, adopted_ms),
    )
    owned.mark_adopted()
    owned.counter.publish_seq(seq)


def _end_replaced(
    lives: Sequence[LiveSegment], rows: Segment, *, first_seq: int, now_ms: int
) -> npt.NDArray[np.int64]:
    """End the rows that new ones replace.

    Args:
        lives: Where to look; their ends of rows are changed.
        rows: The new rows.
        first_seq: The write that makes the first of them; the others follow.
        now_ms: When, Unix time in milliseconds.

    Returns:
        When the id of each new row was first made: int64, shape (n,).
    """
    created_ms = np.full(len(rows), now_ms, dtype=np.int64)
    ids: list[str] = rows.ids.column.to_pylist()
    hashes = rows.hashes_by_row()
    for live in lives:
        for at, row in live.segment.find(ids, hashes, live.killed_at, int(ALIVE) - 1):
            live.killed_at[row] = first_seq + at
            created_ms[at] = live.segment.created_ms[row]
    return created_ms
