"""Says step by step why a document is found, or why not, of what is known about it. Does no I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from cluster.placement import shard_of
from serve.service.ingestors import NONE_RUNS
from vectoray.core.ingestion import Document, DocumentState, Job, JobStatus

_NAMED_CHUNKS = 10


class Answer(StrEnum):
    """Whether a step was done."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class StepName(StrEnum):
    """What must have happened for a document to be found, in this order."""

    LISTED = "listed"
    FETCHED = "fetched"
    PARSED = "parsed"
    EMBEDDED = "embedded"
    STORED = "stored"
    SEARCHABLE = "searchable"
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class Step:
    """Whether one of these happened.

    Attributes:
        reason: A sentence for people.
        at: When it happened, where somebody knows.
    """

    name: StepName
    answer: Answer
    reason: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk that is in the engine now, without its vector.

    Attributes:
        index: Its place in the document, from 0; None where its point does not say.
    """

    id: str
    index: int | None
    text: str | None
    seq: int
    updated_ms: int


@dataclass(frozen=True, slots=True)
class ShardPart:
    """The chunks of a document that one shard has.

    Attributes:
        newest_seq: Of the last of them that was written: they can all be searched from there on.
    """

    shard: int
    chunks: int
    newest_seq: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Recall:
    """Whether searches for the texts of some chunks find these.

    Attributes:
        asked: How many were searched for.
        missed: Those that were not among the first hits.
        problem: A sentence that says why nothing could be asked; None where it could.
    """

    asked: int = 0
    missed: Sequence[Chunk] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What the catalog says of a document: a job, or the ledger, or both.

    Attributes:
        worker: The ingestor that has it now.
        is_attended: Whether any ingestor lives.
    """

    job: Job | None
    document: Document | None
    worker: str | None = None
    is_attended: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """How far one document came.

    Attributes:
        record: None of one that only its chunks tell of.
        expected: How many chunks it has; None where nobody knows.
        chunks: Those that are in the engine now.
    """

    source: str
    record: Record | None
    expected: int | None
    chunks: Sequence[Chunk]
    steps: Sequence[Step]
    shards: Sequence[ShardPart] = field(default=())


def explain(
    source: str,
    record: Record | None,
    chunks: Sequence[Chunk],
    recall: Recall,
    *,
    shards: int,
) -> Explanation:
    """All steps of one document, and where its chunks are.

    Args:
        source: What people call it.
        record: What the catalog says.
        chunks: What the engine has of it.
        recall: What searches for its chunks found.
        shards: How many the collection has.
    """
    expected = _expected(record)
    told = _told(chunks) if record is None else list(_recorded(record))
    steps = [*told, _searchable(record, expected, chunks), _found(chunks, recall)]
    return Explanation(source, record, expected, chunks, steps, _by_shard(chunks, shards))


def _expected(record: Record | None) -> int | None:
    if record is None:
        return None
    if record.job is not None:
        return record.job.progress.total_chunks or None
    return (record.document.chunks or None) if record.document is not None else None


def _told(chunks: Sequence[Chunk]) -> list[Step]:
    """What can be told of a document by its chunks alone."""
    if chunks:
        answer, reason = Answer.YES, "It has chunks in the engine. No job or ledger tells more of it."
    else:
        answer = Answer.UNKNOWN
        reason = (
            "No job, ledger or vector of this collection names it; see that it is spelled as it was ingested."
        )
    return [Step(name, answer, reason) for name in list(StepName)[:5]]


def _recorded(record: Record) -> Iterator[Step]:
    """The steps of which the catalog knows: those that were done, the one that was not, and the rest."""
    done = list(_done_by_job(record.job) if record.job is not None else _done_by_ledger(record.document))
    yield from done
    before: StepName | None = None
    for name in list(StepName)[len(done) : 5]:
        yield Step(name, Answer.NO, _obstacle(record) if before is None else f"Not before it is {before}.")
        before = name


def _done_by_job(job: Job) -> Iterator[Step]:
    yield _done(StepName.LISTED, f"Job {job.id} is for it.", job.created_at)
    yield _done(StepName.FETCHED, f"{job.upload.size_bytes} bytes were uploaded.", job.upload.created_at)
    total = job.progress.total_chunks
    if not total:
        return
    yield _done(StepName.PARSED, f"It has {_count(total)}, cut by '{job.chunking.strategy}'.")
    if job.status is JobStatus.COMPLETED:
        yield _done(StepName.EMBEDDED, f"All of {_count(total)}.")
        yield _done(StepName.STORED, "The job is completed.", job.completed_at)


def _done_by_ledger(document: Document | None) -> Iterator[Step]:
    if document is None:
        return
    steps = [
        _done(StepName.LISTED, "The ledger has it."),
        _done(StepName.FETCHED, "Its bytes arrived."),
        _done(StepName.PARSED, f"It has {_count(document.chunks)}."),
        _done(StepName.EMBEDDED, f"All of {_count(document.chunks)}."),
        _done(StepName.STORED, "All of it is stored."),
    ]
    last = list(DocumentState).index(document.state)
    yield from steps[:last]
    yield replace(steps[last], at=document.updated_at)


def _done(name: StepName, reason: str, at: datetime | None = None) -> Step:
    return Step(name, Answer.YES, reason, at)


def _obstacle(record: Record) -> str:
    """Why a document is not further than it is."""
    document, job = record.document, record.job
    if job is None:
        return (document.reason if document else None) or "It was begun, and did not come further yet."
    if job.status is JobStatus.FAILED:
        return job.error or "The job failed."
    if job.status is JobStatus.CANCELLED:
        return "The job was cancelled; retry it to have it ingested."
    if not record.is_attended:
        return NONE_RUNS
    if job.status is JobStatus.PENDING:
        return "The job waits for its turn."
    progress = job.progress
    so_far = f"; {progress.processed_chunks} of {_count(progress.total_chunks)} are stored"
    return f"An ingestor is working on it{so_far if progress.total_chunks else ''}."


def _searchable(record: Record | None, expected: int | None, chunks: Sequence[Chunk]) -> Step:
    name, count = StepName.SEARCHABLE, len(chunks)
    if not count:
        return Step(name, Answer.NO, "None of its chunks is in the engine.")
    since = datetime.fromtimestamp(max(chunk.updated_ms for chunk in chunks) / 1000, UTC)
    missing = _missing(expected, chunks)
    if not missing:
        return Step(name, Answer.YES, f"{_count(count)} can be searched.", since)
    named = ", ".join(map(str, missing[:_NAMED_CHUNKS])) + (", ..." if len(missing) > _NAMED_CHUNKS else "")
    why = "not stored yet" if _is_running(record) else "deleted since, or never stored"
    return Step(
        name, Answer.NO, f"{count} of {_count(count + len(missing))} are in the engine; {why}: {named}."
    )


def _missing(expected: int | None, chunks: Sequence[Chunk]) -> list[int]:
    there = {chunk.index for chunk in chunks if chunk.index is not None}
    if expected is None:
        expected = max(there) + 1 if there else 0
    return [index for index in range(expected) if index not in there]


def _found(chunks: Sequence[Chunk], recall: Recall) -> Step:
    name = StepName.FOUND
    if not chunks:
        return Step(name, Answer.NO, "There is nothing to find.")
    if recall.problem is not None:
        return Step(name, Answer.UNKNOWN, recall.problem)
    found = recall.asked - len(recall.missed)
    told = f"Of {recall.asked} chunks whose texts were searched for, {found} were found"
    if not recall.missed:
        return Step(name, Answer.YES, f"{told}.")
    places = ", ".join(str(chunk.id if chunk.index is None else chunk.index) for chunk in recall.missed)
    return Step(
        name,
        Answer.NO,
        f"{told}; not among the first hits: {places}. Others of the collection are closer to their texts.",
    )


def _by_shard(chunks: Sequence[Chunk], shards: int) -> list[ShardPart]:
    parts: dict[int, list[Chunk]] = {}
    for chunk in chunks:
        parts.setdefault(shard_of(chunk.id, shards), []).append(chunk)
    return [
        ShardPart(
            shard,
            len(some),
            max(chunk.seq for chunk in some),
            datetime.fromtimestamp(max(chunk.updated_ms for chunk in some) / 1000, UTC),
        )
        for shard, some in sorted(parts.items())
    ]


def _is_running(record: Record | None) -> bool:
    return record is not None and record.job is not None and record.job.status is JobStatus.PROCESSING


def _count(chunks: int) -> str:
    return f"{chunks} chunk{'' if chunks == 1 else 's'}"
