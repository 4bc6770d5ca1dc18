"""The Vectory API as a `Surface`."""

from pathlib import Path

from serve.auth import bearer_or_api_key
from serve.detail_errors import render_error, render_http_error
from serve.surface import Surface
from serve.surfaces.vectory.ingestion_router import UPLOAD_PATH
from serve.surfaces.vectory.router import router

VECTORY = Surface(
    name="vectory",
    title="Vectory API",
    prefixes=("/api",),
    router=router,
    credential=bearer_or_api_key,
    render_error=render_error,
    render_http_error=render_http_error,
    examples=Path(__file__).with_name("examples.json"),
    upload_paths=frozenset((UPLOAD_PATH,)),
)
