"""The event streams of the kiss-vdb API: translate in, one service call, translate out."""

from typing import Annotated, Any

from fastapi import Header, Query
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from serve.deps import Caller, ServicesDep
from serve.event_stream import EVENT_STREAM_TYPE, EventStream
from serve.surface import surface_router
from serve.surfaces.kissvdb import stream_translate as translate
from serve.surfaces.kissvdb.wire import ErrorBody

# RFC 9745: since when, as a Unix time; 2026-01-01.
_DEPRECATED = {"deprecation": "@1767225600", "link": '</v1/stream>; rel="successor-version"'}
_FRAMES: dict[int | str, dict[str, Any]] = {
    200: {"content": {EVENT_STREAM_TYPE: {"schema": {"type": "string"}}}}
}

_Offset = Annotated[int, BeforeValidator(translate.digits), Field(ge=0, le=2**64 - 1)]
Since = Annotated[_Offset, Query(description="Only events after this offset; 0 is the beginning.")]
Types = Annotated[str | None, Query(description="Only events of these types, separated by commas.")]
LastEventId = Annotated[
    _Offset | None, Header(description="What a client that comes back has seen; beats 'since'.")
]

router = surface_router(prefix="/v1", error_body=ErrorBody)


@router.get("/stream", response_class=Response, responses=_FRAMES, tags=["Events"])
async def stream(
    *,
    caller: Caller,
    services: ServicesDep,
    since: Since = 0,
    types: Types = None,
    key_prefix: Annotated[str, Query(description="Only events whose key begins so.")] = "",
    collection: Annotated[str | None, Query(description="Only events of this collection.")] = None,
    last_event_id: LastEventId = None,
) -> Response:
    """What has happened, and then what happens, as server-sent events."""
    events = await services.event_streams.open(
        caller,
        translate.after(since, last_event_id),
        types=translate.event_types(types),
        key_prefix=key_prefix,
        collection=collection or None,
    )
    return EventStream(events, translate.event_frame)


@router.get("/events", response_class=Response, responses=_FRAMES, deprecated=True, tags=["Events"])
async def events(
    *,
    caller: Caller,
    services: ServicesDep,
    since: Since = 0,
    types: Types = None,
    prefix: Annotated[str, Query(description="As 'key_prefix' of /v1/stream.")] = "",
    last_event_id: LastEventId = None,
) -> Response:
    """As /v1/stream, which takes its place."""
    followed = await services.event_streams.open(
        caller,
        translate.after(since, last_event_id),
        types=translate.event_types(types),
        key_prefix=prefix,
    )
    return EventStream(followed, translate.event_frame, headers=_DEPRECATED)
