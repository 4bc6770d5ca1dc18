"""The endpoints of the Vectory API about collections: translate in, one service call, translate out."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from serve.answer import JSON_TYPE
from serve.deps import Caller, ServicesDep, SignedIn
from serve.service.collections import CollectionView
from serve.service.ownership import ById
from serve.surface import surface_router
from serve.surfaces.vectory import collection_translate as translate
from serve.surfaces.vectory import collection_wire as wire
from serve.surfaces.vectory.export import export_document
from serve.surfaces.vectory.vector_wire import CollectionExport
from serve.surfaces.vectory.wire import ErrorBody

router = surface_router(prefix="/api", error_body=ErrorBody)


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


@router.post("/collections", status_code=201, tags=["Collections"])
async def create_collection(
    body: wire.CreateCollection, caller: SignedIn, services: ServicesDep
) -> wire.CollectionInfo:
    """Create a collection."""
    created = await services.collections.create(caller, translate.new_collection(body))
    return translate.collection_info(CollectionView.empty(created))


@router.get("/collections/{collection_id}", tags=["Collections"])
async def get_collection(collection_id: str, caller: Caller, services: ServicesDep) -> wire.CollectionInfo:
    """One collection."""
    return translate.collection_info(await services.collections.describe(caller, ById(collection_id)))


@router.patch("/collections/{collection_id}", tags=["Collections"])
async def update_collection(
    collection_id: str, body: wire.UpdateCollection, caller: SignedIn, services: ServicesDep
) -> wire.CollectionInfo:
    """Change the name of a collection, or its description."""
    changed = await services.collections.change(
        caller, ById(collection_id), name=body.name, description=body.description
    )
    return translate.collection_info(changed)


@router.delete("/collections/{collection_id}", status_code=204, tags=["Collections"])
async def delete_collection(collection_id: str, caller: SignedIn, services: ServicesDep) -> Response:
    """Delete a collection and all its vectors."""
    await services.collections.drop(caller, ById(collection_id))
    return Response(status_code=204)


@router.get("/collections/{collection_id}/stats", tags=["Collections"])
async def get_collection_stats(
    collection_id: str, caller: Caller, services: ServicesDep
) -> wire.CollectionStats:
    """How full a collection is, and what was asked of it."""
    return translate.collection_stats(await services.statistics.of_collection(caller, ById(collection_id)))


@router.post("/collections/{collection_id}/optimize", tags=["Collections"])
async def optimize_collection(
    collection_id: str, caller: SignedIn, services: ServicesDep
) -> wire.CollectionInfo:
    """Begin to rebuild the index, so that searches become as quick as they can be. Answers at once."""
    return translate.collection_info(await services.collections.optimize(caller, ById(collection_id)))


@router.post("/collections/{collection_id}/export", response_model=CollectionExport, tags=["Collections"])
async def export_collection(collection_id: str, caller: Caller, services: ServicesDep) -> Response:
    """A collection and all its vectors. The answer is sent as it is read, and breaks off where that fails."""
    export = await services.points.export(caller, ById(collection_id))
    return StreamingResponse(export_document(export), media_type=JSON_TYPE)
