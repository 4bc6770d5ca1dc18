"""What docs/api/mcp.md shows is what the official client gets, and it names everything that there is."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp

from pipelines.url_chunks import chunk_id
from serve.app import build_app
from serve.settings import ServeSettings
from serve.surfaces.mcp.errors import STATUS
from serve.surfaces.mcp.tools import TOOLS
from tests.contract.conftest import running
from tests.contract.mcp_client import URL, connected, text_of
from tests.contract.web_site import Open, Opened, Site, User

PAGE = (Path(__file__).parents[2] / "docs" / "api" / "mcp.md").read_text()

SECTION = re.compile(r"^### `(\w+)`\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(json|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARGUMENT = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
SCORE = re.compile(r"score \d\.\d{4}")
DIFFERS = {"dimension", "created_at", "updated_at", "score"}

COLLECTION = "3f2b8c1e-5d47-4a7e-9c55-0d6f1a2b3c4d"
PROJECT = "b7e0a6c2-91d3-4f58-8a1e-2c4d6f8a0b13"
PIECES = {
    "0a9c7e52-3b1d-5f64-9e8a-7c6b5d4e3f21": "A tide is made by the moon.",
    "d4f6b8a0-1c2e-5a3b-8d4f-6e7a9b0c1d2e": "Boats go by the clock.",
}

CHUNKS = {
    "6d0c1ee4-62c5-5a3b-a7f5-1b2f6a8f3c11": "An insert that was answered is on the disk.",
    "f41f3b0a-0d0e-5d39-8a53-93d0f4c2b722": "It survives a loss of power.",
}


@dataclass(frozen=True)
class Shown:
    """Who has what the page shows, and the ids that it has in this run."""

    app: ASGIApp
    who: User
    ids: dict[str, str]

    def here(self, text: str) -> str:
        """``text`` of the page with the ids of this run."""
        for shown, own in self.ids.items():
            text = text.replace(shown, own)
        return text


@pytest.fixture
async def shown(settings: ServeSettings, open_services: Open) -> AsyncIterator[Shown]:
    opened = Opened(open_services)
    app = build_app(settings, open_services=opened, anonymous_allowed=True)
    async with running(app) as rest:
        site = Site(rest, opened)
        who = await site.sign_up("ann")
        project = await site.project(who, "Sea")
        url_id = await site.submit(who, project, "https://example.com/tides")
        await site.store(url_id, *PIECES.values())
        pieces = {piece: chunk_id(url_id, index) for index, piece in enumerate(PIECES)}
        await rest.post("/api/v1/collections", json={"name": "notes", "dimension": 3, "metric": "cosine"})
        rows = [
            {"id": chunk_id, "vector": [1, 1, 0], "payload": _payload(index, text)}
            for index, (chunk_id, text) in enumerate(CHUNKS.items())
        ]
        await rest.post("/api/v1/collections/notes/vectors", json={"vectors": rows})
        yield Shown(app, who, {COLLECTION: await _id_of(rest), PROJECT: project, **pieces})


def _payload(index: int, text: str) -> dict[str, Any]:
    """As `vectoray ingest` writes it."""
    return {"title": "Durability", "content": text, "source": "durability.md", "chunk_index": index}


async def _id_of(rest: httpx.AsyncClient) -> str:
    return str((await rest.get("/api/collections")).json()["items"][0]["id"])


def sections() -> dict[str, str]:
    """What the page says about each tool."""
    return dict(SECTION.findall(PAGE))


def same(shown: Any, got: Any, key: str = "") -> bool:
    """Whether an answer is as the page shows it, but for what differs from run to run."""
    if isinstance(shown, dict) and isinstance(got, dict):
        return list(shown) == list(got) and all(same(shown[name], got[name], name) for name in shown)
    if isinstance(shown, list) and isinstance(got, list):
        return len(shown) == len(got) and all(map(same, shown, got))
    return type(shown) is type(got) if key in DIFFERS else bool(shown == got)


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
async def test_every_tool_answers_as_the_page_shows(shown: Shown, name: str) -> None:
    (_, arguments), (_, structured), (_, words) = BLOCK.findall(shown.here(sections()[name]))
    async with connected(shown.app, headers=shown.who.headers) as client:
        result = await client.call_tool(name, json.loads(arguments))
    assert same(json.loads(structured), result.structured_content), result.structured_content
    assert SCORE.sub("score", text_of(result)) == SCORE.sub("score", words.strip())


def test_every_tool_and_argument_is_on_the_page() -> None:
    described = {name: ARGUMENT.findall(section) for name, section in sections().items()}
    assert described == {tool.name: list(tool.arguments.model_fields) for tool in TOOLS}


def test_every_revision_and_status_is_on_the_page() -> None:
    assert set(re.findall(r"\b20\d\d-\d\d-\d\d\b(?!T)", PAGE)) == set(KNOWN_PROTOCOL_VERSIONS)
    assert {str(status) for status in STATUS.values()} <= set(
        re.findall(r"^\| (\d{3})\b", PAGE, re.MULTILINE)
    )


def test_the_configuration_on_the_page_leads_to_a_server() -> None:
    [server] = json.loads(BLOCK.findall(PAGE)[0][1])["mcpServers"].values()
    assert (server["type"], httpx.URL(server["url"]).path) == ("http", httpx.URL(URL).path)
    assert list(server["headers"]) == ["Authorization"]
    assert server["headers"]["Authorization"].startswith("Bearer vy_")
