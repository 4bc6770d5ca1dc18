"""The kiss-vdb API as a `Surface`."""

from pathlib import Path

from serve.auth import header_or_query
from serve.openapi import BEARER_OR_API_KEY
from serve.surface import Surface
from serve.surfaces.kissvdb.errors import render_error, render_http_error
from serve.surfaces.kissvdb.router import router

KISSVDB = Surface(
    name="kiss-vdb",
    title="kiss-vdb API",
    prefixes=("/v1",),
    router=router,
    credential=header_or_query,
    render_error=render_error,
    render_http_error=render_http_error,
    examples=Path(__file__).with_name("examples.json"),
    anonymous_key="dev",
    security={
        **BEARER_OR_API_KEY,
        "queryKey": {"type": "apiKey", "in": "query", "name": "api_key", "description": "An API key."},
    },
)
