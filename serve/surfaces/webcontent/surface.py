"""The Web Content API as a `Surface`."""

from pathlib import Path

from serve.auth import bearer_or_api_key
from serve.detail_errors import render_error, render_http_error
from serve.surface import Surface
from serve.surfaces.webcontent.router import router

WEBCONTENT = Surface(
    name="webcontent",
    title="Web Content API",
    prefixes=(
        "/api/v1/users",
        "/api/v1/auth",
        "/api/v1/projects",
        "/api/v1/shared-projects",
        "/api/v1/system",
    ),
    router=router,
    credential=bearer_or_api_key,
    render_error=render_error,
    render_http_error=render_http_error,
    examples=Path(__file__).with_name("examples.json"),
)
