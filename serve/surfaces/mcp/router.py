"""The one endpoint of the protocol: without sessions, and streams of our own, there is no other method."""

from starlette.requests import Request
from starlette.responses import Response

from serve.deps import Caller, ServicesDep
from serve.surface import surface_router
from serve.surfaces.mcp.exchange import answer_to
from serve.surfaces.mcp.protocol import SERVER
from serve.surfaces.mcp.wire import ErrorBody

router = surface_router(prefix="", error_body=ErrorBody)


@router.post("/mcp", include_in_schema=False)
async def exchange(request: Request, _caller: Caller, _services: ServicesDep) -> Response:
    """Answer a message. The tools find caller and services in the request's state."""
    return answer_to(await request.body(), request.headers.get("content-type", ""), SERVER)
