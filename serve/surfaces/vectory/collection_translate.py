"""Between the Vectory API's wire models and collections. Pure functions."""

import orjson

from serve.point_columns import encode_object
from serve.service.collections import CollectionView, NewCollection
from serve.service.statistics import CollectionStatistics
from serve.surfaces.vectory import collection_wire as wire
from serve.surfaces.vectory.translate import METRIC_NAMES, METRICS
from vectoray.core.model import IndexKind, IndexOptions


def new_collection(body: wire.CreateCollection) -> NewCollection:
    """A collection to create.

    Raises:
        InvalidRequest: Its config is nested too deeply.
    """
    graph = body.config or wire.CollectionConfig()
    sent = None if body.config is None else body.config.model_dump(exclude_unset=True)
    return NewCollection(
        name=body.name,
        dimension=body.dimension,
        metric=METRICS[body.distance_metric],
        index=IndexOptions(
            kind=IndexKind(body.index_type),
            m=graph.m,
            ef_construction=graph.ef_construction,
            ef_search=graph.ef_search,
        ),
        description=body.description or "",
        embedding_model=body.embedding_model,
        config=None if sent is None else encode_object(sent, where="config"),
    )


def collection_info(view: CollectionView) -> wire.CollectionInfo:
    """A collection."""
    collection = view.collection
    return wire.CollectionInfo(
        id=collection.id,
        name=collection.name,
        description=collection.description,
        embedding_model=collection.embedding_model,
        dimension=collection.dimension,
        distance_metric=METRIC_NAMES[collection.metric],
        index_type=collection.index.kind.value,
        vector_count=view.points,
        index_size_bytes=view.index_bytes,
        config=None if collection.config is None else orjson.loads(collection.config),
        created_by=collection.owner,
        created_at=collection.created_at,
        updated_at=view.updated_at,
    )


def collection_page(views: list[CollectionView], total: int) -> wire.CollectionPage:
    """Some collections."""
    return wire.CollectionPage(items=[collection_info(view) for view in views], total=total)


def collection_stats(statistics: CollectionStatistics) -> wire.CollectionStats:
    """A collection's figures."""
    collection = statistics.view.collection
    average_ms = round(statistics.queries.average_ms, 3)
    return wire.CollectionStats(
        collection_id=collection.id,
        vector_count=statistics.view.points or 0,
        index_size_bytes=statistics.view.index_bytes or 0,
        dimension=collection.dimension,
        distance_metric=METRIC_NAMES[collection.metric],
        index_type=collection.index.kind.value,
        total_queries=statistics.queries.queries,
        avg_query_latency_ms=average_ms,
        avg_latency_ms=average_ms,
        created_at=collection.created_at,
    )
