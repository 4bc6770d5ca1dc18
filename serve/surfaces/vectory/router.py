"""The endpoints of the Vectory API: translate in, one service call, translate out."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from serve.answer import json_response
from serve.deps import Caller, ServicesDep
from serve.service.ownership import ById
from serve.surface import surface_router
from serve.surfaces.vectory import account_router, translate, wire

router = surface_router(prefix="/api", error_body=wire.ErrorBody)
router.routes.extend(account_router.router.routes)


@router.get("/health", tags=["System"])
async def health(caller: Caller, services: ServicesDep) -> wire.HealthInfo:
    """Whether the service and what it depends on work."""
    return translate.health_info(await services.health.check(caller))


@router.get("/models", tags=["System"])
async def list_models(_caller: Caller, services: ServicesDep) -> list[wire.ModelDescription]:
    """The embedding models that collections may use."""
    return [translate.model_description(model) for model in services.models]


@router.get("/collections", tags=["Collections"])
async def list_collections(
    caller: Caller,
    services: ServicesDep,
    skip: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    name: Annotated[str | None, Query(description="Only the collection of this name.")] = None,
) -> wire.CollectionPage:
    """Collections, oldest first."""
    views, total = await services.collections.page(caller, name=name, skip=skip, limit=limit)
    return translate.collection_page(views, total)


@router.get("/collections/{collection_id}", tags=["Collections"])
async def get_collection(collection_id: str, caller: Caller, services: ServicesDep) -> wire.CollectionInfo:
    """One collection."""
    return translate.collection_info(await services.collections.describe(caller, ById(collection_id)))


@router.post("/collections/{collection_id}/query", response_model=wire.QueryResults, tags=["Vectors"])
async def query(collection_id: str, body: wire.Query, caller: Caller, services: ServicesDep) -> Response:
    """The vectors most similar to a given one, or to a text."""
    answer = await services.search.search(caller, ById(collection_id), translate.search_request(body))
    return json_response(translate.query_results(answer, body))


@router.post(
    "/collections/{collection_id}/hybrid-search", response_model=wire.HybridResults, tags=["Vectors"]
)
async def hybrid_search(
    collection_id: str, body: wire.HybridSearch, caller: Caller, services: ServicesDep
) -> Response:
    """The vectors that answer best by similarity and by words, taken together."""
    answer = await services.search.hybrid(caller, ById(collection_id), translate.hybrid_request(body))
    return json_response(translate.hybrid_results(answer, body))
