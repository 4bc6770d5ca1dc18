"""Between the Vectory API's wire models and what the server is. Pure functions."""

from typing import get_args

from serve.service.statistics import DayActivity, Overview
from serve.service.system import Connections, ServerInfo
from serve.surfaces.vectory import system_wire as wire
from serve.surfaces.vectory.collection_wire import IndexType
from serve.surfaces.vectory.wire import MAX_TOP_K, MetricName
from vectoray.embedding import ModelInfo


def health_info(connections: Connections, info: ServerInfo) -> wire.HealthInfo:
    """What answers."""
    return wire.HealthInfo(
        status="healthy"
        if connections.database and connections.shards and connections.ingestors
        else "degraded",
        version=info.version,
        database="connected" if connections.database else "disconnected",
        redis="not_configured",
    )


def metrics_info(overview: Overview) -> wire.MetricsInfo:
    """Figures of all that a caller may see."""
    average_ms = round(overview.queries.average_ms, 3)
    return wire.MetricsInfo(
        total_collections=overview.collections,
        total_vectors=overview.points,
        total_queries=overview.queries.queries,
        avg_query_latency_ms=average_ms,
        avg_latency_ms=average_ms,
    )


def activity_day(activity: DayActivity) -> wire.ActivityDay:
    """Figures of a day."""
    return wire.ActivityDay(
        date=activity.day,
        queries=activity.queries.queries,
        latency=round(activity.queries.average_ms, 3),
    )


def model_description(model: ModelInfo) -> wire.ModelDescription:
    """An embedding model."""
    return wire.ModelDescription(name=model.name, provider=model.provider, dimensions=model.dimension)


def system_info(info: ServerInfo) -> wire.SystemInfo:
    """What the server is."""
    return wire.SystemInfo(
        name="Vectoray",
        version=info.version,
        capabilities=wire.Capabilities(
            search=["vector", "text", "hybrid"],
            distance_metrics=list(get_args(MetricName)),
            index_types=list(get_args(IndexType)),
            embedding_models=[model.name for model in info.models],
            max_dimension=info.limits.max_dimension,
            max_batch_size=info.limits.max_batch_points,
            max_top_k=MAX_TOP_K,
        ),
    )
