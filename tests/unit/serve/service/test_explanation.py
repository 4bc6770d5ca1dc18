"""Why a document is found, or not, as it is told of what is known."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from serve.service.explanation import Answer, Chunk, Explanation, Recall, Record, StepName, explain
from serve.service.ingestors import NONE_RUNS
from vectoray.core.ingestion import (
    Chunking,
    Document,
    DocumentState,
    FileType,
    Job,
    JobProgress,
    JobStatus,
    Upload,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UPLOAD = Upload("u", "c", "notes.md", FileType.MD, 11, "0" * 64, "ann", NOW)
JOB = Job("j", "c", UPLOAD, Chunking(), "ann", NOW, NOW)
DOCUMENT = Document(
    owner_id="j",
    document_id="u",
    collection_id="c",
    uri="https://a/",
    source="https://a/",
    state=DocumentState.TAKEN,
    chunks=2,
    stored_chunks=0,
    tries=1,
    reason=None,
    fingerprint=None,
    fetched_url=None,
    etag=None,
    last_modified=None,
    updated_at=NOW,
)
BEFORE = list(StepName)[:5]
FOUND = Recall(asked=1)


def job(status: JobStatus, total: int = 0, *, error: str | None = None) -> Job:
    return replace(JOB, status=status, progress=JobProgress(total), error=error, completed_at=NOW)


def chunks(*indexes: int) -> list[Chunk]:
    return [Chunk(f"id-{index}", index, f"text {index}", 10 + index, 1000 * index) for index in indexes]


def told(record: Record | None, there: list[Chunk], recall: Recall = FOUND) -> Explanation:
    return explain("notes.md", record, there, recall, shards=3)


def answers(explained: Explanation) -> str:
    """The first letters of the answers, in the order of the steps."""
    assert [step.name for step in explained.steps] == list(StepName)
    assert all(step.reason.endswith(".") for step in explained.steps)
    return "".join(step.answer.value[0] for step in explained.steps)


def reason_of(explained: Explanation, name: StepName) -> str:
    [step] = [step for step in explained.steps if step.name is name]
    return step.reason


def test_all_is_yes_of_a_job_that_is_completed_and_there() -> None:
    explained = told(Record(job(JobStatus.COMPLETED, 3), DOCUMENT), chunks(0, 1, 2))
    assert answers(explained) == "yyyyyyy"
    assert explained.expected == 3
    assert sum(part.chunks for part in explained.shards) == 3
    assert max(part.newest_seq for part in explained.shards) == 12


@pytest.mark.parametrize(
    ("unfinished", "is_attended", "steps", "reason"),
    [
        (job(JobStatus.PENDING), True, "yynnnnn", "The job waits for its turn."),
        (job(JobStatus.PENDING), False, "yynnnnn", NONE_RUNS),
        (job(JobStatus.PROCESSING), True, "yynnnnn", "An ingestor is working on it."),
        (job(JobStatus.FAILED, error="The PDF is damaged."), False, "yynnnnn", "The PDF is damaged."),
        (job(JobStatus.FAILED, 4, error="A shard is away."), True, "yyynnnn", "A shard is away."),
        (
            job(JobStatus.CANCELLED),
            True,
            "yynnnnn",
            "The job was cancelled; retry it to have it ingested.",
        ),
    ],
)
def test_the_first_step_that_was_not_done_says_why(
    unfinished: Job, *, is_attended: bool, steps: str, reason: str
) -> None:
    explained = told(Record(unfinished, None, is_attended=is_attended), [])
    assert answers(explained) == steps
    first = explained.steps[steps.index("n")]
    assert first.reason == reason
    assert explained.steps[steps.index("n") + 1].reason == f"Not before it is {first.name}."


@pytest.mark.parametrize(("state", "count"), list(zip(DocumentState, range(1, 6), strict=True)))
def test_the_ledger_says_how_far_a_document_without_a_job_came(state: DocumentState, count: int) -> None:
    failed = replace(DOCUMENT, state=state, reason="Too large.")
    explained = told(Record(None, failed), [])
    assert answers(explained) == "y" * count + "n" * (7 - count)
    assert explained.steps[count - 1].at == NOW
    if count < len(BEFORE):
        assert explained.steps[count].reason == "Too large."


def test_chunks_that_are_gone_are_named() -> None:
    explained = told(Record(job(JobStatus.COMPLETED, 5), None), chunks(0, 2, 4))
    assert answers(explained) == "yyyyyny"
    assert reason_of(explained, StepName.SEARCHABLE) == (
        "3 of 5 chunks are in the engine; deleted since, or never stored: 1, 3."
    )


def test_chunks_of_which_no_record_tells_are_complete_up_to_the_last() -> None:
    assert answers(told(None, chunks(0, 1))) == "yyyyyyy"
    assert answers(told(None, chunks(0, 3))) == "yyyyyny"


def test_what_nobody_knows_is_unknown_and_not_found() -> None:
    explained = told(None, [])
    assert answers(explained) == "uuuuunn"
    assert "spelled" in explained.steps[0].reason


def test_a_chunk_that_its_own_text_does_not_find_is_named() -> None:
    there = chunks(0, 1, 2)
    explained = told(None, there, Recall(asked=3, missed=there[2:]))
    assert explained.steps[-1].answer is Answer.NO
    assert explained.steps[-1].reason.startswith("Of 3 chunks whose texts were searched for, 2 were found;")
    assert "first hits: 2." in explained.steps[-1].reason


def test_a_search_that_cannot_be_made_answers_nothing() -> None:
    explained = told(None, chunks(0), Recall(problem="The model is away."))
    assert (explained.steps[-1].answer, explained.steps[-1].reason) == (Answer.UNKNOWN, "The model is away.")
