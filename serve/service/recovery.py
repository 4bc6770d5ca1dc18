"""Finishes, at start, the creations and drops that a crash interrupted."""

import structlog

from cluster.engine import Engine
from storage.catalog import Catalog, CollectionState
from vectoray.core.errors import VectorayError
from vectoray.core.model import Collection

_log = structlog.get_logger(__name__)


async def recover_unfinished(catalog: Catalog, engine: Engine) -> None:
    """Bring every collection between begin and finish to its end.

    A creation is completed: its caller got no answer, so either end is right, and this one keeps what another
    server may be creating right now. What cannot be finished is left for the next start; it is not visible to
    anybody meanwhile.
    """
    for collection, state in await catalog.unfinished():
        try:
            await _finish(catalog, engine, collection, state)
        except VectorayError as error:
            _log.warning(
                "collection_left_unfinished",
                collection_id=collection.id,
                state=state.value,
                reason=error.message,
            )
        else:
            _log.info("collection_recovered", collection_id=collection.id, state=state.value)


async def _finish(catalog: Catalog, engine: Engine, collection: Collection, state: CollectionState) -> None:
    if state is CollectionState.CREATING:
        await engine.create(collection)
        if await catalog.finish_create(collection.id):
            return
        # Dropped meanwhile, perhaps before these shards were made.
    await engine.drop(collection)
    await catalog.finish_drop(collection.id)
