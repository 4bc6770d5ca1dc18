"""Every operation of the four families as a request that the owner's objects fit, from the documents."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from serve.answer import JSON_TYPE
from serve.event_stream import EVENT_STREAM_TYPE
from serve.surface import Surface, document_of, mount
from tests.contract.matrix_world import KINDS, Kind

PATHS: Mapping[str, str] = {
    "POST /v1/vector/{collection}": "/v1/vector/{new}",
    "DELETE /api/ingestion/jobs/{job_id}": "/api/ingestion/jobs/{pending_job_id}",
}
"""Where the path names what is to be, not what is, or a job in another state than most."""

LOGIN = {"email": "{email}", "password": "{password}"}

BODIES: Mapping[str, Any] = {
    "POST /api/collections": {"name": "{new}", "dimension": 3},
    "PATCH /api/collections/{collection_id}": {"name": "{new}"},
    "POST /api/ingestion/jobs": {
        "file_path": "{upload}",
        "file_name": "{filename}",
        "file_size": 11,
        "file_type": "md",
    },
    "POST /api/auth/register": {"email": "{new}@example.com", "password": "{password}", "name": "New"},
    "POST /api/auth/login": LOGIN,
    "POST /api/auth/refresh": {"refresh_token": "{refresh_token}"},
    "POST /api/v1/collections": {"name": "{new}", "dimension": 3, "metric": "cosine"},
    "POST /v1/vector/{collection}/update": {"id": "{vector_id}", "meta": {"seen": "again"}},
    "POST /api/v1/users": {"email": "{new}@example.com", "password": "{password}"},
    "POST /api/v1/auth/token": LOGIN,
    "POST /api/v1/projects/{project_id}/shares": {"shared_with_user_id": "{somebody}"},
    "POST /api/v1/projects:query": {"query": "abc", "project_ids": ["{project_id}"]},
}
"""Where the example of the document names what is not there, or what is there already."""

QUERIES: Mapping[str, Mapping[str, str]] = {
    "POST /api/ingestion/jobs": {"collection_id": "{collection_id}"},
    "GET /v1/vector/{collection}/get": {"id": "{vector_id}"},
    "GET /api/collections/{collection_id}/explain": {"source": "{filename}"},
}

FORMS: Mapping[str, Mapping[str, str]] = {"POST /api/ingestion/upload": {"collection_id": "{collection_id}"}}
"""What goes with an uploaded file."""

READING_POSTS = re.compile(r"(/query|/hybrid-search|/search|/export|/projects:query)$")


@dataclass(frozen=True)
class Operation:
    """One operation, as its document describes it.

    Attributes:
        family: The name of its surface.
        name: Method and path, such as ``GET /api/keys``.
        described: The operation object.
    """

    family: str
    name: str
    described: Mapping[str, Any]

    @property
    def method(self) -> str:
        return self.name.split(" ")[0]

    @property
    def path(self) -> str:
        return PATHS.get(self.name, self.name.split(" ")[1])

    @property
    def body(self) -> Any:
        """A template; None for no body."""
        if self.name in BODIES:
            return BODIES[self.name]
        content = self.described.get("requestBody", {}).get("content", {})
        return content.get(JSON_TYPE, {}).get("example")

    @property
    def query(self) -> Mapping[str, str]:
        return QUERIES.get(self.name, {})

    @property
    def form(self) -> Mapping[str, str] | None:
        return FORMS.get(self.name)

    @property
    def streams(self) -> bool:
        """Whether the answer never ends."""
        return EVENT_STREAM_TYPE in self.described["responses"].get("200", {}).get("content", {})

    @property
    def reads(self) -> bool:
        return self.method == "GET" or READING_POSTS.search(self.path) is not None

    @property
    def is_open(self) -> bool:
        """Whether it needs no credential, wherever the server runs."""
        return self.described["security"] == []

    @property
    def opened_by_share(self) -> bool:
        return {"shareToken": []} in self.described["security"]

    @property
    def kinds(self) -> set[Kind]:
        """What of the owner's the request names, anywhere."""
        told = orjson.dumps([self.path, self.body, dict(self.query), dict(self.form or {})]).decode()
        return {kind for name, kind in KINDS.items() if f"{{{name}}}" in told}


def operations_of(surface: Surface) -> list[Operation]:
    """All of them."""
    document = document_of(surface, mount(surface, anonymous_allowed=False)[1])
    return [
        Operation(surface.name, f"{method.upper()} {path}", described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
    ]


def filled(template: Any, ids: Mapping[str, str]) -> Any:
    """``template`` with ids in place of their names in braces."""
    if isinstance(template, str):
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], template)
    if isinstance(template, list):
        return [filled(one, ids) for one in template]
    if isinstance(template, Mapping):
        return {key: filled(value, ids) for key, value in template.items()}
    return template
