"""The OpenAPI document of a family: FastAPI's, in version 3.0, with what FastAPI cannot know.

That is every content type that is understood, who may call an operation and how they prove it. FastAPI writes
3.1; the bundled documentation page and other tools know no 3.1. Only what our wire models use is rewritten.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from serve.answer import JSON_TYPE, MSGPACK_TYPE
from serve.auth import Access
from serve.deps import access_of

SecurityScheme = Mapping[str, str]

BEARER_OR_API_KEY: Mapping[str, SecurityScheme] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token, or an API key.",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key."},
}
"""How callers of most families prove who they are."""

SHARE_TOKEN: SecurityScheme = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Share-Token",
    "description": "Opens the one project that it is for, with or without another credential.",
}
"""How whoever was given a share token proves it."""

_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def openapi_document(
    app: FastAPI,
    *,
    security: Mapping[str, SecurityScheme] = BEARER_OR_API_KEY,
    examples: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The app's OpenAPI 3.0 document.

    Args:
        app: A family's.
        security: The ways to send a credential, by name.
        examples: Method and path of an operation -> what was sent to a server once (``request``; left out
            where there was no body), and the ``status`` and ``response`` that it gave.
    """
    document: dict[str, Any] = _rewrite(app.openapi())
    access = {
        (route.path_format, method.lower()): access_of(route.dependant)
        for route in app.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["security"] = _security(access[path, method], security)
            # Made up by FastAPI, which is not told of our errors otherwise than by naming them all.
            operation["responses"].pop("default", None)
            for described in (operation.get("requestBody", {}), *operation["responses"].values()):
                _also_msgpack(described.get("content", {}))
            example = (examples or {}).get(f"{method.upper()} {path}")
            if example is not None:
                _show(operation, example)
    schemes = security if Access.SHARED not in access.values() else {**security, "shareToken": SHARE_TOKEN}
    document["components"]["securitySchemes"] = {name: dict(scheme) for name, scheme in schemes.items()}
    return document


def _show(operation: dict[str, Any], example: Mapping[str, Any]) -> None:
    """Put an example where it belongs. MessagePack has none: it is no text."""
    if "request" in example:
        operation["requestBody"]["content"][JSON_TYPE]["example"] = example["request"]
    answer = operation["responses"][str(example["status"])]
    if "response" in example:
        answer["content"][JSON_TYPE]["example"] = example["response"]


def _security(access: Access, schemes: Mapping[str, SecurityScheme]) -> list[dict[str, list[str]]]:
    """The choices of whoever calls; an empty one is no credential."""
    ways: list[dict[str, list[str]]] = [{name: []} for name in schemes]
    choices: dict[Access, list[dict[str, list[str]]]] = {
        Access.OPEN: [],
        Access.CALLER: [*ways, {}],
        Access.SHARED: [*ways, {"shareToken": []}],
        Access.SIGNED_IN: ways,
    }
    return choices[access]


def _also_msgpack(content: dict[str, Any]) -> None:
    """Whatever may be JSON may be MessagePack; see `serve.body` and `serve.answer`."""
    if JSON_TYPE in content:
        content[MSGPACK_TYPE] = dict(content[JSON_TYPE])


def _rewrite(node: Any) -> Any:
    if isinstance(node, list):
        return [_rewrite(item) for item in node]
    if not isinstance(node, dict):
        return node
    rewritten = {key: _rewrite(value) for key, value in node.items()}
    if "const" in rewritten:
        rewritten["enum"] = [rewritten.pop("const")]
    # A schema's list of examples; what a parameter or a content type calls so is no list.
    if isinstance(rewritten.get("examples"), list) and rewritten["examples"]:
        rewritten["example"] = rewritten.pop("examples")[0]
    for exclusive, inclusive in _EXCLUSIVE.items():
        if isinstance(rewritten.get(exclusive), int | float) and not isinstance(rewritten[exclusive], bool):
            rewritten[inclusive] = rewritten[exclusive]
            rewritten[exclusive] = True
    return _nullable(rewritten)


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """``anyOf: [X, null]`` as X that is nullable."""
    options = schema.get("anyOf")
    if not isinstance(options, list) or {"type": "null"} not in options:
        return schema
    others = [option for option in options if option != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if len(others) == 1 and "$ref" not in others[0]:
        return {**others[0], **rest, "nullable": True}
    key = "allOf" if len(others) == 1 else "anyOf"
    return {**rest, key: others, "nullable": True}
