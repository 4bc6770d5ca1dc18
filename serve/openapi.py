"""The OpenAPI document of a family: FastAPI's, in version 3.0, with every content type that is understood.

FastAPI writes 3.1; the bundled documentation page and other tools know no 3.1. Only what our wire models use
is rewritten.
"""

from typing import Any

from fastapi import FastAPI

from serve.answer import JSON_TYPE, MSGPACK_TYPE

_EXCLUSIVE = {"exclusiveMinimum": "minimum", "exclusiveMaximum": "maximum"}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The app's OpenAPI 3.0 document."""
    document: dict[str, Any] = _rewrite(app.openapi())
    for operations in document["paths"].values():
        for operation in operations.values():
            for described in (operation.get("requestBody", {}), *operation["responses"].values()):
                _also_msgpack(described.get("content", {}))
    return document


def _also_msgpack(content: dict[str, Any]) -> None:
    """Whatever may be JSON may be MessagePack; see `serve.body` and `serve.answer`."""
    if JSON_TYPE in content:
        content[MSGPACK_TYPE] = content[JSON_TYPE]


def _rewrite(node: Any) -> Any:
    if isinstance(node, list):
        return [_rewrite(item) for item in node]
    if not isinstance(node, dict):
        return node
    rewritten = {key: _rewrite(value) for key, value in node.items()}
    if "const" in rewritten:
        rewritten["enum"] = [rewritten.pop("const")]
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
