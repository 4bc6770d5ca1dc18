"""The endpoints of the Vectory API about vectors: translate in, one service call, translate out."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from serve.answer import json_response
from serve.deps import Caller, ServicesDep, SignedIn
from serve.service.ownership import ById
from serve.surface import surface_router
from serve.surfaces.vectory import vector_translate as translate
from serve.surfaces.vectory import vector_wire as wire
from serve.surfaces.vectory.wire import ErrorBody

# A page costs what all pages before it cost; to read everything, there is the export.
_MAX_SKIP = 100_000

router = surface_router(prefix="/api/collections/{collection_id}/vectors", error_body=ErrorBody)


@router.post("", status_code=201, tags=["Vectors"])
async def insert_vectors(
    collection_id: str, body: wire.NewVectors, caller: Caller, services: ServicesDep
) -> wire.VectorCreated | list[wire.VectorCreated]:
    """Insert one vector, or an array of them: all, or none if one is bad."""
    await services.points.insert(caller, ById(collection_id), body.vectors)
    return translate.vectors_created(body)


@router.get("", response_model=wire.VectorPage, tags=["Vectors"])
async def list_vectors(
    collection_id: str,
    caller: Caller,
    services: ServicesDep,
    skip: Annotated[int, Query(ge=0, le=_MAX_SKIP)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> Response:
    """Vectors, newest first."""
    page = await services.points.page(caller, ById(collection_id), skip=skip, limit=limit)
    return json_response(translate.vector_page(page))


@router.post("/batch-delete", tags=["Vectors"])
async def delete_vectors(
    collection_id: str, body: wire.VectorIds, caller: SignedIn, services: ServicesDep
) -> wire.VectorsDeleted:
    """Delete vectors by their ids. Those that are not there are passed over."""
    deleted = await services.points.delete_many(caller, ById(collection_id), body.ids)
    return wire.VectorsDeleted(deleted=len(deleted))


@router.delete("/by-source/{filename:path}", tags=["Vectors"])
async def delete_source(
    collection_id: str, filename: str, caller: SignedIn, services: ServicesDep
) -> wire.SourceDeleted:
    """Delete every vector that came from a document."""
    deleted = await services.sources.delete(caller, ById(collection_id), filename)
    return wire.SourceDeleted(
        deleted=deleted, collection_id=translate.canonical(collection_id), source_file=filename
    )


@router.patch("/by-source/{filename:path}", tags=["Vectors"])
async def update_source(
    collection_id: str, filename: str, body: wire.SourceMetadata, caller: SignedIn, services: ServicesDep
) -> wire.SourceUpdated:
    """Merge metadata into that of every vector that came from a document."""
    updated = await services.sources.merge(caller, ById(collection_id), filename, body.metadata)
    return wire.SourceUpdated(
        updated=updated, collection_id=translate.canonical(collection_id), source_file=filename
    )


@router.get("/{vector_id:path}", response_model=wire.StoredVector, tags=["Vectors"])
async def get_vector(collection_id: str, vector_id: str, caller: Caller, services: ServicesDep) -> Response:
    """One vector. Its id may hold any character, slashes too; percent-encode what a path cannot hold."""
    point = await services.points.get(caller, ById(collection_id), vector_id)
    return json_response(translate.stored_vector(translate.canonical(collection_id), point))


@router.patch("/{vector_id:path}", response_model=wire.StoredVector, tags=["Vectors"])
async def update_vector(
    collection_id: str, vector_id: str, body: wire.UpdateVector, caller: SignedIn, services: ServicesDep
) -> Response:
    """Change parts of a vector."""
    change = translate.point_change(body)
    point = await services.points.update(caller, ById(collection_id), vector_id, change)
    return json_response(translate.stored_vector(translate.canonical(collection_id), point))


@router.delete("/{vector_id:path}", status_code=204, tags=["Vectors"])
async def delete_vector(
    collection_id: str, vector_id: str, caller: SignedIn, services: ServicesDep
) -> Response:
    """Delete one vector."""
    await services.points.delete(caller, ById(collection_id), vector_id)
    return Response(status_code=204)
