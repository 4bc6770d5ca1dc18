"""The endpoints of the kiss-vdb API: translate in, one service call, translate out."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from serve.answer import json_response
from serve.deps import Caller, ServicesDep
from serve.service.ownership import ByName
from serve.surface import surface_router
from serve.surfaces.kissvdb import stream_router, translate, wire

router = surface_router(prefix="/v1", error_body=wire.ErrorBody)
router.routes.extend(stream_router.router.routes)


@router.get("/health", tags=["System"])
async def health(caller: Caller, services: ServicesDep) -> wire.HealthInfo:
    """Whether the service works, and how much the caller has stored."""
    return translate.health_info(await services.health.check(caller))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    tags=["System"],
)
async def metrics(caller: Caller, services: ServicesDep) -> Response:
    """The figures of the health check for Prometheus."""
    return translate.metrics(await services.health.check(caller))


@router.get("/vector", tags=["Collections"])
async def list_collections(caller: Caller, services: ServicesDep) -> wire.CollectionList:
    """All collections, oldest first."""
    views, _ = await services.collections.page(caller)
    return translate.collection_list(views)


@router.post("/vector/{collection}", tags=["Collections"])
async def create_collection(
    collection: str, body: wire.CreateCollection, caller: Caller, services: ServicesDep
) -> wire.CollectionCreated:
    """Create a collection."""
    created = await services.collections.create(caller, translate.new_collection(collection, body))
    return translate.collection_created(created, body)


@router.get("/vector/{collection}", tags=["Collections"])
async def get_collection(collection: str, caller: Caller, services: ServicesDep) -> wire.CollectionInfo:
    """One collection."""
    return translate.collection_info(await services.collections.describe(caller, ByName(collection)))


@router.delete("/vector/{collection}", tags=["Collections"])
async def drop_collection(collection: str, caller: Caller, services: ServicesDep) -> wire.Deleted:
    """Delete a collection and all its vectors."""
    await services.collections.drop(caller, ByName(collection))
    return wire.Deleted()


@router.post("/vector/{collection}/add", tags=["Vectors"])
async def add(collection: str, body: wire.Item, caller: Caller, services: ServicesDep) -> wire.Done:
    """Write a vector whose id is new."""
    await services.points.insert(caller, ByName(collection), translate.new_point(body))
    return wire.Done()


@router.post("/vector/{collection}/upsert", tags=["Vectors"])
async def upsert(collection: str, body: wire.Item, caller: Caller, services: ServicesDep) -> wire.Done:
    """Write a vector, replacing the one whose id it has."""
    await services.points.upsert(caller, ByName(collection), translate.new_point(body))
    return wire.Done()


@router.post("/vector/{collection}/update", tags=["Vectors"])
async def update(collection: str, body: wire.Update, caller: Caller, services: ServicesDep) -> wire.Done:
    """Change the vector or the meta of an id that is there."""
    await services.points.update(caller, ByName(collection), body.id, translate.point_change(body))
    return wire.Done()


@router.post("/vector/{collection}/upsert_batch", response_model=wire.BatchResults, tags=["Vectors"])
async def upsert_batch(
    collection: str, body: wire.UpsertBatch, caller: Caller, services: ServicesDep
) -> Response:
    """Write vectors, replacing those whose id exists. A bad item does not stop the others."""
    outcomes = await services.items.upsert(caller, ByName(collection), body.items.good)
    return json_response(translate.batch_results(body.items, outcomes, "upserted"))


@router.post("/vector/{collection}/delete", tags=["Vectors"])
async def delete(collection: str, body: wire.Delete, caller: Caller, services: ServicesDep) -> wire.Deleted:
    """Delete a vector."""
    await services.points.delete(caller, ByName(collection), body.id)
    return wire.Deleted()


@router.post("/vector/{collection}/delete_batch", response_model=wire.BatchResults, tags=["Vectors"])
async def delete_batch(
    collection: str, body: wire.DeleteBatch, caller: Caller, services: ServicesDep
) -> Response:
    """Delete vectors. One that is not there does not stop the others."""
    outcomes = await services.items.delete(caller, ByName(collection), body.ids.good)
    return json_response(translate.batch_results(body.ids, outcomes, "deleted"))


@router.get("/vector/{collection}/get", response_model=wire.StoredVector, tags=["Vectors"])
async def get(
    collection: str,
    id: Annotated[str, Query(description="Any id; percent-encode what a URL cannot hold.")],  # noqa: A002
    caller: Caller,
    services: ServicesDep,
) -> Response:
    """One vector."""
    return json_response(translate.stored_vector(await services.points.get(caller, ByName(collection), id)))


@router.post("/vector/{collection}/search", response_model=wire.Hits, tags=["Search"])
async def search(collection: str, body: wire.Search, caller: Caller, services: ServicesDep) -> Response:
    """The vectors most similar to a given one."""
    answer = await services.search.search(caller, ByName(collection), translate.search_request(body))
    return json_response(translate.hits(answer, body))
