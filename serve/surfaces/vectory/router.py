"""The endpoints of the Vectory API: those that search, and all others from their own modules.

A handler translates in, makes one service call, and translates out.
"""

from starlette.responses import Response

from serve.answer import json_response
from serve.deps import Caller, ServicesDep
from serve.service.ownership import ById
from serve.surface import surface_router
from serve.surfaces.vectory import (
    account_router,
    collection_router,
    explain_router,
    ingestion_router,
    system_router,
    translate,
    vector_router,
    wire,
)

router = surface_router(prefix="/api", error_body=wire.ErrorBody)
for part in (
    system_router,
    collection_router,
    vector_router,
    ingestion_router,
    explain_router,
    account_router,
):
    router.routes.extend(part.router.routes)


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
