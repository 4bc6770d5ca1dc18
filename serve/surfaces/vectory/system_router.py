"""The endpoints of the Vectory API about the server: translate in, one service call, translate out.

Each has two paths: the documented one, and the one that the web client calls.
"""

from typing import Annotated

from fastapi import Query

from serve.deps import Caller, ServicesDep
from serve.surface import surface_router
from serve.surfaces.vectory import system_translate as translate
from serve.surfaces.vectory import system_wire as wire
from serve.surfaces.vectory.wire import ErrorBody

router = surface_router(prefix="/api", error_body=ErrorBody)


@router.get("/system/health", tags=["System"])
@router.get("/health", tags=["System"])
async def health(caller: Caller, services: ServicesDep) -> wire.HealthInfo:
    """Whether the service and what it depends on work."""
    return translate.health_info(await services.system.connections(caller), services.system.info())


@router.get("/system/metrics", tags=["System"])
@router.get("/metrics", tags=["System"])
async def metrics(caller: Caller, services: ServicesDep) -> wire.MetricsInfo:
    """How much the caller may see, and how much was asked of it."""
    return translate.metrics_info(await services.statistics.overview(caller))


@router.get("/system/metrics/activity", tags=["System"])
async def activity(
    caller: Caller, services: ServicesDep, days: Annotated[int, Query(ge=1, le=366)] = 7
) -> list[wire.ActivityDay]:
    """What was asked on each of the last days, oldest first."""
    return [translate.activity_day(day) for day in await services.statistics.activity(caller, days)]


@router.get("/system/models", tags=["System"])
@router.get("/models", tags=["System"])
async def list_models(_caller: Caller, services: ServicesDep) -> list[wire.ModelDescription]:
    """The embedding models of this server."""
    return [translate.model_description(model) for model in services.system.info().models]


@router.get("/system/info", tags=["System"])
async def system_info(_caller: Caller, services: ServicesDep) -> wire.SystemInfo:
    """The server's version, and what it can do."""
    return translate.system_info(services.system.info())
