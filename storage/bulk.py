"""Bulk loads: other processes make whole segments, and the shard's owner only has to adopt them.

A worker writes the rows of a part of a job as fragments, `write_fragment`: segments with graph and indexes,
in the shard's folder but not part of the shard. `storage.writer.ShardWriter.commit_fragments` then makes all
fragments of a part visible at once, exactly once however often it is asked: the manifest that names the new
segments also names the part. See docs/adr/0015-bulk-loads.md.
"""

import os
import shutil
import time
import uuid
from pathlib import Path

import numpy as np

from storage import files, shard
from storage.columns import chunk_column
from storage.records import hash_id
from storage.rows import SegmentRows
from storage.segment_files import write_segment
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import PointBatch

BULK = "bulk"
# A load of which nothing came for so long is not going on any more.
ABANDONED_AFTER_S = 7 * 86_400


def write_fragment(directory: Path, job: str, part: str, batch: PointBatch) -> Path:
    """Write points as a fragment of a part, durably. From any process, while the shard is open in another.

    Args:
        directory: The shard's folder.
        job: Names the load.
        part: Names a part of it: what is committed, and repeated after a failure, as a whole.
        batch: At least one point. Of an id that is there twice, the later row counts.

    Returns:
        The fragment, for `storage.writer.ShardWriter.commit_fragments`.

    Raises:
        DimensionMismatch, InvalidRequest: The batch does not fit the shard.
        OSError: Nothing was written.
    """
    spec = shard.read_spec(directory)
    shard.check_batch(spec, batch)
    if not len(batch):
        raise InvalidRequest("A fragment needs at least one point.")
    last = {point_id: row for row, point_id in enumerate(batch.ids)}
    if len(last) < len(batch):
        batch = batch.take(sorted(last.values()))
    place = place_of(directory, job) / f"{hash_id(part):016x}"
    files.make_dir_durable(place)
    note_activity(directory, job)
    fragment = place / uuid.uuid4().hex
    write_segment(
        fragment,
        SegmentRows(
            ids=batch.ids,
            # These, and created_ms, are the owner's to say, when it adopts the rows.
            seqs=np.zeros(len(batch), dtype=np.uint64),
            updated_ms=np.zeros(len(batch), dtype=np.int64),
            vectors=batch.vectors,
            payloads=batch.payloads,
            texts=batch.texts,
            sources=batch.sources or [None] * len(batch),
            chunk_indexes=chunk_column(batch.chunk_indexes, len(batch)),
            created_ms=np.zeros(len(batch), dtype=np.int64),
        ),
        metric=spec.metric,
        options=spec.index,
        with_graph=True,
    )
    return fragment


def remove_fragments(directory: Path, job: str) -> None:
    """Remove the fragments of a job, committed or not, and what its workers left half-written."""
    shutil.rmtree(place_of(directory, job), ignore_errors=True)


def place_of(directory: Path, job: str) -> Path:
    """Where the fragments of a job lie. It is there from the first fragment or commit on, to the end."""
    # By hash: a job may be called anything.
    return directory / BULK / f"{hash_id(job):016x}"


def note_activity(directory: Path, job: str) -> None:
    """Note that the job is going on, for `abandoned_places`."""
    place = place_of(directory, job)
    files.make_dir_durable(place)
    os.utime(place)


def abandoned_places(directory: Path) -> list[Path]:
    """The places of jobs of which nothing came for `ABANDONED_AFTER_S`."""
    before_s = time.time() - ABANDONED_AFTER_S
    try:
        return [place for place in (directory / BULK).iterdir() if place.stat().st_mtime < before_s]
    except FileNotFoundError:
        return []
