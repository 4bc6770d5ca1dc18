"""The Model Context Protocol as a `Surface`."""

from pathlib import Path

from serve.auth import bearer_or_api_key
from serve.surface import Surface
from serve.surfaces.mcp.errors import render_error, render_http_error
from serve.surfaces.mcp.router import router

MCP = Surface(
    name="mcp",
    title="Model Context Protocol",
    prefixes=("/mcp",),
    router=router,
    credential=bearer_or_api_key,
    render_error=render_error,
    render_http_error=render_http_error,
    # There are none: clients learn from the protocol what they may send, not from an OpenAPI document.
    examples=Path(__file__).with_name("examples.json"),
)
