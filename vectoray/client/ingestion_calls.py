"""The calls about ingestion; see `calls`. Does no I/O."""

from urllib.parse import quote
from uuid import UUID

from vectoray.client.calls import Call
from vectoray.client.ingestion_values import ExplainedDocument, JobInfo, JobPage
from vectoray.core.errors import CollectionNotFound, JobNotFound

_JOBS = "/api/ingestion/jobs"


def list_jobs(*, collection_id: str | None, status: str | None, limit: int) -> Call[JobPage]:
    """Ask for the newest jobs."""
    params: dict[str, int | str] = {"limit": limit}
    if collection_id is not None:
        params["collection_id"] = collection_id
    if status is not None:
        params["status_filter"] = status
    return Call("GET", _JOBS, JobPage.from_json, params=params, missing=CollectionNotFound)


def get_job(job_id: str) -> Call[JobInfo]:
    """Ask for one job."""
    return Call("GET", _job_path(job_id), JobInfo.from_json, missing=JobNotFound)


def cancel_job(job_id: str) -> Call[None]:
    """Cancel a job."""
    return Call("DELETE", _job_path(job_id), lambda _: None, missing=JobNotFound)


def retry_job(job_id: str) -> Call[JobInfo]:
    """Let a job run anew."""
    return Call("POST", f"{_job_path(job_id)}/retry", JobInfo.from_json, missing=JobNotFound)


def explain(collection_id: str, source: str, uri: str | None) -> Call[list[ExplainedDocument]]:
    """Ask why a document is found, or not."""
    return Call(
        "GET",
        f"/api/collections/{quote(collection_id, safe='')}/explain",
        lambda answer: [ExplainedDocument.from_json(item) for item in answer["documents"]],
        params={"source": source} if uri is None else {"source": source, "uri": uri},
        missing=CollectionNotFound,
    )


def _job_path(job_id: str) -> str:
    # A UUID, so that no other path can be meant.
    try:
        return f"{_JOBS}/{UUID(job_id)}"
    except ValueError:
        raise JobNotFound.of(job_id) from None
