"""The endpoint of the Vectory API that says why a document is found: translate in, call, translate out."""

from typing import Annotated

from fastapi import Query

from serve.deps import Caller, ServicesDep
from serve.service.ownership import ById
from serve.surface import surface_router
from serve.surfaces.vectory import explain_translate as translate
from serve.surfaces.vectory import explain_wire as wire
from serve.surfaces.vectory.wire import ErrorBody

router = surface_router(prefix="/api", error_body=ErrorBody)


@router.get("/collections/{collection_id}/explain", tags=["Ingestion"])
async def explain_document(
    *,
    collection_id: str,
    source: Annotated[
        str,
        Query(
            min_length=1,
            description="The id of a job, the name of an uploaded file, a file's path, or a URL.",
        ),
    ],
    caller: Caller,
    services: ServicesDep,
    uri: Annotated[
        str | None, Query(min_length=1, description="The document's URI, if that is known besides.")
    ] = None,
) -> wire.Explanation:
    """Why a document is found in a collection, or is not, step by step."""
    found = await services.explain.explain(caller, ById(collection_id), source, uri)
    return translate.explanation(collection_id, source, found)
