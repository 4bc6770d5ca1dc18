"""Makes and drops collections: the catalog's row and the engine's shards, in an order no crash can spoil.

Whoever calls this has checked rights, and lets it run to its end; see `serve.service.completion`. What a
crash interrupts, `serve.service.recovery` finishes.
"""

import structlog

from cluster.engine import Engine
from serve.service.event_relay import EventRelay
from storage.catalog import Catalog
from vectoray.core.errors import CollectionNotFound, Conflict, VectorayError
from vectoray.core.model import Collection
from vectoray.core.projects import Project

_log = structlog.get_logger(__name__)


async def create_collection(
    catalog: Catalog,
    engine: Engine,
    relay: EventRelay,
    collection: Collection,
    *,
    project: Project | None = None,
) -> None:
    """Make a collection and, if it is for the chunks of one, its project; both are visible then.

    Raises:
        CollectionExists: Its owner has one of that name.
        Conflict: It was dropped meanwhile.
    """
    await catalog.begin_create(collection, project=project)
    try:
        await engine.create(collection)
        finished = await catalog.finish_create(collection.id)
    except BaseException:
        await catalog.begin_drop(collection.id)
        await _remove(catalog, engine, relay, collection)
        raise
    if not finished:
        raise Conflict(f"Collection '{collection.name}' was dropped while it was created.")
    await relay.relay()


async def drop_collection(
    catalog: Catalog, engine: Engine, relay: EventRelay, collection: Collection
) -> None:
    """Drop a collection and, if it is of one, its project, with everything in them.

    Once the catalog says so they are gone, whatever comes after: shards that cannot be removed now are
    removed when the server next starts.

    Raises:
        CollectionNotFound: Somebody else dropped it.
    """
    if not await catalog.begin_drop(collection.id):
        raise CollectionNotFound.of(collection.name)
    # Its beginning first, or the writes that are still to be told would never be.
    await relay.relay()
    await _remove(catalog, engine, relay, collection)


async def _remove(catalog: Catalog, engine: Engine, relay: EventRelay, collection: Collection) -> None:
    try:
        await engine.drop(collection)
        await catalog.finish_drop(collection.id)
        await relay.relay()
    except VectorayError as error:
        _log.warning("collection_left_to_remove", collection_id=collection.id, reason=error.message)
