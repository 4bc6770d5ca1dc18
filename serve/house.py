"""The paths that belong to no API family: documentation, liveness, and the 404 of everything else.

The documentation page and all it loads come from this server, so it works without the internet.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import swagger_ui_bundle
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from serve.answer import json_response
from serve.surface import MountedApp
from vectoray.core.errors import ErrorCode, VectorayError

_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js", "favicon-32x32.png")

_STATUS = {
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.BODY_TOO_LARGE: 413,
    ErrorCode.DEADLINE_EXCEEDED: 503,
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Vectoray API</title>
<link rel="icon" href="/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger-ui-standalone-preset.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START = """SwaggerUIBundle({
  urls: %s,
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout"
});
"""

# Styles and images in the page itself are how Swagger UI draws; scripts only ever come from this server.
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def mount_house(documents: Mapping[str, tuple[str, Callable[[], dict[str, Any]]]]) -> MountedApp:
    """The app of the paths that no family has.

    Args:
        documents: Family name -> its title and a function that makes its OpenAPI document.
    """
    urls = [{"url": f"/openapi/{name}.json", "name": title} for name, (title, _) in documents.items()]
    start = _START % orjson.dumps(urls).decode()
    assets = Path(str(swagger_ui_bundle.swagger_ui_path))

    async def landing(_request: Request) -> Response:
        return RedirectResponse("/docs")

    async def alive(_request: Request) -> Response:
        return json_response({"status": "alive"})

    async def page(_request: Request) -> Response:
        return Response(_PAGE, media_type="text/html", headers=_HEADERS)

    async def script(_request: Request) -> Response:
        return Response(start, media_type="text/javascript", headers=_HEADERS)

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404)
        return FileResponse(assets / name, headers=_HEADERS)

    async def document(request: Request) -> Response:
        found = documents.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return json_response(found[1]())

    app = Starlette(
        routes=[
            Route("/", landing),
            Route("/healthz", alive),
            Route("/docs", page),
            Route("/docs/start.js", script),
            Route("/docs/assets/{name}", asset),
            Route("/openapi/{name}.json", document),
        ],
        exception_handlers={HTTPException: _on_http_error},
    )
    app.router.redirect_slashes = False
    return MountedApp(name="house", prefixes=("",), app=app, answer_error=_answer_error)


async def _on_http_error(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    response = json_response({"error": f"{HTTPStatus(status).phrase}."}, status=status)
    response.headers.update((error.headers or {}) if isinstance(error, HTTPException) else {})
    return response


def _answer_error(error: VectorayError, _scope: Scope) -> Response:
    return json_response({"error": error.message}, status=_STATUS.get(error.code, 500))
