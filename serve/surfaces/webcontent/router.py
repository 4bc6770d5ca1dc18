"""The endpoints of the Web Content API: translate in, one service call, translate out."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from serve.answer import json_response
from serve.deps import Reader, ServicesDep, SignedIn
from serve.surface import surface_router
from serve.surfaces.webcontent import account_router, project_router, translate, wire

router = surface_router(prefix="/api/v1", error_body=wire.ErrorBody)
router.routes.extend(account_router.router.routes)
router.routes.extend(project_router.router.routes)

_URLS = "/projects/{project_id}/urls"


@router.post(
    _URLS,
    status_code=202,
    response_model=wire.UrlInfo,
    responses={409: {"model": wire.DuplicateUrl, "description": "The project has this URL."}},
    tags=["URLs"],
)
async def submit_url(
    project_id: str, body: wire.SubmitUrl, caller: SignedIn, services: ServicesDep
) -> Response:
    """Submit a URL to be fetched."""
    return translate.submitted_url(await services.project_urls.submit(caller, project_id, body.original_url))


@router.post(f"{_URLS}:batch", status_code=202, response_model=wire.SubmittedUrls, tags=["URLs"])
async def submit_urls(
    project_id: str, body: wire.SubmitUrls, caller: SignedIn, services: ServicesDep
) -> Response:
    """Submit several URLs: all that are new, or none if one is bad."""
    submission = await services.project_urls.submit_many(caller, project_id, body.urls)
    return json_response(translate.submitted_urls(submission), status=202)


@router.get(_URLS, response_model=list[wire.UrlInfo], tags=["URLs"])
async def list_urls(
    project_id: str,
    reader: Reader,
    services: ServicesDep,
    status: Annotated[wire.StatusName | None, Query(description="Only URLs of this status.")] = None,
) -> Response:
    """A project's URLs, oldest first."""
    urls = await services.project_urls.of_project(reader, project_id, translate.url_status(status))
    return json_response([translate.url_info(url) for url in urls])


@router.get(f"{_URLS}/{{url_id}}", response_model=wire.UrlInfo, tags=["URLs"])
async def get_url(project_id: str, url_id: str, reader: Reader, services: ServicesDep) -> Response:
    """One URL, and how far it has come."""
    return json_response(translate.url_info(await services.project_urls.get(reader, project_id, url_id)))


@router.post(f"{_URLS}/{{url_id}}:reprocess", status_code=202, response_model=wire.UrlInfo, tags=["URLs"])
async def reprocess_url(project_id: str, url_id: str, caller: SignedIn, services: ServicesDep) -> Response:
    """Have a URL fetched anew; its chunks stay until the new ones are there."""
    url = await services.project_urls.reprocess(caller, project_id, url_id)
    return json_response(translate.url_info(url), status=202)


@router.get(f"{_URLS}/{{url_id}}/chunks", response_model=list[wire.ChunkInfo], tags=["Chunks"])
async def list_chunks(
    project_id: str,
    url_id: str,
    reader: Reader,
    services: ServicesDep,
    *,
    include_vectors: bool = False,
) -> Response:
    """The chunks of a URL, by their place in it; none before it was stored for the first time."""
    found = await services.project_chunks.of_url(reader, project_id, url_id)
    return json_response(translate.chunk_list(found, include_vectors=include_vectors))


@router.post("/projects:query", tags=["Chunks"])
async def query(body: wire.Query, reader: Reader, services: ServicesDep) -> wire.QueryResults:
    """The chunks closest in meaning to a question, over several projects."""
    hits = await services.project_chunks.query(reader, body.query, body.project_ids, top_k=body.top_k)
    return translate.query_results(hits)


@router.get("/system/transformer-model", tags=["System"])
async def get_model(caller: SignedIn, services: ServicesDep) -> wire.ModelInfo:
    """What texts are embedded with, and how they are cut."""
    return translate.model_info(await services.server_status.model(caller))


@router.get("/system/status", tags=["System"])
async def get_status(caller: SignedIn, services: ServicesDep) -> wire.SystemStatus:
    """How much waits to be fetched, how busy the machine is, and whether the model answers."""
    return translate.system_status(await services.server_status.status(caller))
