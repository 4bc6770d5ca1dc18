"""The endpoints of the Vectorizer API: translate in, one service call, translate out."""

from starlette.responses import Response

from serve.answer import json_response
from serve.body import ARROW_BODY
from serve.deps import Caller, ServicesDep
from serve.service.ownership import ByName
from serve.surface import surface_router
from serve.surfaces.vectorizer import translate, wire

router = surface_router(prefix="/api/v1", error_body=wire.ErrorBody)


@router.get("/health", tags=["Health"])
async def health(caller: Caller, services: ServicesDep) -> wire.HealthInfo:
    """Whether the service works, and how much the caller has stored."""
    return translate.health_info(await services.health.check(caller))


@router.get("/collections", tags=["Collections"])
async def list_collections(caller: Caller, services: ServicesDep) -> list[wire.CollectionInfo]:
    """All collections, oldest first."""
    views, _ = await services.collections.page(caller)
    return [translate.collection_info(view) for view in views]


@router.post("/collections", status_code=201, tags=["Collections"])
async def create_collection(
    body: wire.CreateCollection, caller: Caller, services: ServicesDep
) -> wire.CollectionChanged:
    """Create a collection."""
    created = await services.collections.create(caller, translate.new_collection(body))
    return wire.CollectionChanged(message="Collection created successfully", collection=created.name)


@router.get("/collections/{collection_name}", tags=["Collections"])
async def get_collection(collection_name: str, caller: Caller, services: ServicesDep) -> wire.CollectionInfo:
    """One collection."""
    return translate.collection_info(await services.collections.describe(caller, ByName(collection_name)))


@router.delete("/collections/{collection_name}", tags=["Collections"])
async def delete_collection(
    collection_name: str, caller: Caller, services: ServicesDep
) -> wire.CollectionChanged:
    """Delete a collection and all its vectors."""
    dropped = await services.collections.drop(caller, ByName(collection_name))
    return wire.CollectionChanged(message="Collection deleted successfully", collection=dropped.name)


@router.post(
    "/collections/{collection_name}/vectors",
    status_code=201,
    tags=["Vectors"],
    openapi_extra=ARROW_BODY,
)
async def insert_vectors(
    collection_name: str, body: wire.InsertVectors, caller: Caller, services: ServicesDep
) -> wire.VectorsInserted:
    """Insert vectors, replacing those whose id exists: all of them, or none if one is bad."""
    inserted = await services.points.upsert(caller, ByName(collection_name), body.vectors)
    return wire.VectorsInserted(message="Vectors inserted successfully", inserted=inserted)


@router.get(
    "/collections/{collection_name}/vectors/{vector_id:path}",
    response_model=wire.StoredVector,
    tags=["Vectors"],
)
async def get_vector(collection_name: str, vector_id: str, caller: Caller, services: ServicesDep) -> Response:
    """One vector. Its id may hold any character, slashes too; percent-encode what a path cannot hold."""
    point = await services.points.get(caller, ByName(collection_name), vector_id)
    return json_response(translate.stored_vector(point))


@router.delete("/collections/{collection_name}/vectors/{vector_id:path}", tags=["Vectors"])
async def delete_vector(
    collection_name: str, vector_id: str, caller: Caller, services: ServicesDep
) -> wire.VectorDeleted:
    """Delete one vector."""
    await services.points.delete(caller, ByName(collection_name), vector_id)
    return wire.VectorDeleted(
        message="Vector deleted successfully", collection=collection_name, vector_id=vector_id
    )


@router.post("/collections/{collection_name}/search", response_model=wire.SearchResults, tags=["Search"])
async def search(collection_name: str, body: wire.Search, caller: Caller, services: ServicesDep) -> Response:
    """The vectors most similar to a given one."""
    answer = await services.search.search(caller, ByName(collection_name), translate.search_request(body))
    return json_response(translate.search_results(answer))
