"""The Vectorizer API as a `Surface`."""

from pathlib import Path

from serve.auth import bearer_or_api_key
from serve.surface import Surface
from serve.surfaces.vectorizer.errors import render_error, render_http_error
from serve.surfaces.vectorizer.router import router

VECTORIZER = Surface(
    name="vectorizer",
    title="Vectorizer API",
    prefixes=("/api/v1",),
    router=router,
    credential=bearer_or_api_key,
    render_error=render_error,
    render_http_error=render_http_error,
    examples=Path(__file__).with_name("examples.json"),
)
