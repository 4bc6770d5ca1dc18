"""The endpoints of the Vectory API about ingestion: translate in, one service call, translate out."""

from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from serve.answer import json_response
from serve.deps import Caller, ServicesDep, SignedIn
from serve.event_stream import EVENT_STREAM_TYPE, EventStream
from serve.service.ownership import ById
from serve.surface import surface_router
from serve.surfaces.vectory import ingestion_translate as translate
from serve.surfaces.vectory import ingestion_wire as wire
from serve.surfaces.vectory.ingestion_form import UPLOAD_FORM, UploadForm
from serve.surfaces.vectory.wire import ErrorBody

UPLOAD_PATH = "/api/ingestion/upload"

router = surface_router(prefix="/api", error_body=ErrorBody)

Skip = Annotated[int, Query(ge=0, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.post(
    "/ingestion/upload", response_model=wire.UploadInfo, tags=["Ingestion"], openapi_extra=UPLOAD_FORM
)
async def upload_file(request: Request, caller: Caller, services: ServicesDep) -> Response:
    """Store a file that a job can ingest then."""
    upload = await services.uploads.accept(caller, UploadForm(request))
    return json_response(translate.upload_info(upload))


@router.post("/ingestion/jobs", status_code=201, tags=["Ingestion"])
async def create_job(
    collection_id: str, body: wire.CreateJob, caller: Caller, services: ServicesDep
) -> wire.JobInfo:
    """Have an uploaded file ingested."""
    job = await services.jobs.create(
        caller, ById(collection_id), translate.upload_id(body.file_path), translate.chunking(body.config)
    )
    return translate.job_info(job)


@router.get("/ingestion/jobs", tags=["Ingestion"])
async def list_jobs(
    *,
    caller: Caller,
    services: ServicesDep,
    collection_id: Annotated[str | None, Query(description="Only jobs of this collection.")] = None,
    status_filter: Annotated[wire.Status | None, Query(description="Only jobs of this status.")] = None,
    skip: Skip = 0,
    limit: Limit = 50,
) -> wire.JobPage:
    """Jobs, newest first."""
    jobs, total = await services.jobs.page(
        caller,
        collection=translate.address(collection_id),
        status=translate.status(status_filter),
        skip=skip,
        limit=limit,
    )
    return translate.job_page(jobs, total)


@router.get("/ingestion/templates", tags=["Ingestion"])
async def list_templates(_caller: Caller) -> list[wire.Template]:
    """Configs to begin with."""
    return translate.templates()


@router.get("/ingestion/jobs/{job_id}", tags=["Ingestion"])
async def get_job(job_id: str, caller: Caller, services: ServicesDep) -> wire.JobInfo:
    """One job."""
    return translate.job_info(await services.jobs.get(caller, job_id))


@router.delete("/ingestion/jobs/{job_id}", status_code=204, tags=["Ingestion"])
async def cancel_job(job_id: str, caller: SignedIn, services: ServicesDep) -> Response:
    """Cancel a job that is not finished."""
    await services.jobs.cancel(caller, job_id)
    return Response(status_code=204)


@router.get(
    "/ingestion/jobs/{job_id}/progress",
    response_class=Response,
    responses={
        200: {
            "description": "One event at once, and one after each change, up to the first terminal status.",
            "content": {EVENT_STREAM_TYPE: {"schema": wire.JobProgress.model_json_schema()}},
        }
    },
    tags=["Ingestion"],
)
async def follow_job(job_id: str, caller: Caller, services: ServicesDep) -> Response:
    """How far a job is, as server-sent events."""
    return EventStream(await services.jobs.follow(caller, job_id), translate.progress_frame)


@router.get("/ingestion/jobs/{job_id}/vectors", response_model=wire.JobVectors, tags=["Ingestion"])
async def list_job_vectors(
    job_id: str, caller: Caller, services: ServicesDep, skip: Skip = 0, limit: Limit = 50
) -> Response:
    """The vectors that a job wrote, in the order of the document."""
    return json_response(
        translate.job_vectors(await services.jobs.points(caller, job_id, skip=skip, limit=limit))
    )


@router.post("/ingestion/jobs/{job_id}/retry", tags=["Ingestion"])
async def retry_job(job_id: str, caller: SignedIn, services: ServicesDep) -> wire.JobInfo:
    """Let a job that failed, or was cancelled, run anew."""
    return translate.job_info(await services.jobs.retry(caller, job_id))


@router.post("/ingestion/jobs/{job_id}/re-ingest", tags=["Ingestion"])
async def reingest_job(
    job_id: str, caller: Caller, services: ServicesDep, body: wire.Reingest | None = None
) -> wire.JobInfo:
    """Let a finished job run anew, perhaps with another config, and replace what it wrote."""
    return translate.job_info(
        await services.jobs.reingest(caller, job_id, translate.reingest_overrides(body))
    )
