"""What a shard is, written into its folder once, so that the folder explains itself."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storage import files
from vectoray.core.errors import CorruptData, DimensionMismatch, InvalidRequest
from vectoray.core.model import GraphType, IndexOptions, Metric, PointBatch
from vectoray.core.vectors import check_chunk_index, check_source

LOG, SEGMENTS, DEAD, TABLE, QUARANTINE = "log", "segments", "dead", "table", "quarantine"
LOCK, COUNTER, SPEC = "LOCK", "GENERATION", "shard.json"
_FORMAT = 3


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """What every file of a shard agrees on."""

    dimension: int
    metric: Metric
    index: IndexOptions

    def __post_init__(self) -> None:
        if self.index.graph_type is GraphType.I8 and self.metric is not Metric.COSINE:
            raise InvalidRequest("Graphs of i8 are for the cosine metric, under which only directions count.")


def create_shard(directory: Path, spec: ShardSpec) -> None:
    """Make an empty shard. One that is there already is left as it is.

    Raises:
        OSError: The folder may be there in part; creating it again completes it.
    """
    if shard_exists(directory):
        return
    for name in (LOG, SEGMENTS, DEAD, TABLE):
        files.make_dir_durable(directory / name)
    # The description comes last: a folder that has one is complete.
    files.write_json_durable(
        directory / SPEC,
        {
            "format": _FORMAT,
            "dimension": spec.dimension,
            "metric": spec.metric.value,
            "index": asdict(spec.index),
        },
    )


def shard_exists(directory: Path) -> bool:
    """Whether a complete shard lies here."""
    return (directory / SPEC).is_file()


def read_spec(directory: Path) -> ShardSpec:
    """What the shard in this folder is.

    Raises:
        FileNotFoundError: There is no shard.
        CorruptData: Its description is damaged, or of another format.
    """
    value = files.read_json(directory / SPEC)
    if value.get("format") != _FORMAT:
        raise CorruptData("A shard has a format that this version does not read.")
    try:
        index: Any = value["index"]
        return ShardSpec(
            dimension=int(str(value["dimension"])),
            metric=Metric(str(value["metric"])),
            index=IndexOptions.of(index),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptData("A shard's description lacks a field.") from error


def check_batch(spec: ShardSpec, batch: PointBatch) -> None:
    """See that points may be stored in a shard.

    Raises:
        DimensionMismatch: The vectors are not float32 of its dimension.
        InvalidRequest: A string cannot be held by UTF-8, a payload is none, or a chunk index is out of range.
        LimitExceeded: A source is too long.
    """
    if batch.vectors.shape[1:] != (spec.dimension,) or batch.vectors.dtype != np.float32:
        raise DimensionMismatch.of(
            expected=spec.dimension, actual=int(batch.vectors.shape[-1]), where="The batch"
        )
    try:
        for point_id in batch.ids:
            point_id.encode()
        for text in batch.texts:
            if text is not None:
                text.encode()
        for payload in batch.payloads:
            payload.decode()
    except UnicodeError:
        raise InvalidRequest("An id, a text or a payload is not valid Unicode text.") from None
    # Mostly, many rows come from one document.
    for source in set(batch.sources or ()) - {None}:
        check_source(str(source), where="A source")
    for index in batch.chunk_indexes or ():
        if index is not None:
            check_chunk_index(index, where="A chunk index")


def new_quarantine(directory: Path) -> Path:
    """Make a folder in the shard for what could not be read; nothing in it is ever removed."""
    place = directory / QUARANTINE / str(time.time_ns())
    files.make_dir_durable(place)
    return place
