"""What docs/api/mcp.md shows is what the official client gets, and it names everything that there is."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from starlette.types import ASGIApp

from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from serve.surfaces.mcp.errors import STATUS
from serve.surfaces.mcp.tools import TOOLS
from tests.contract.conftest import running
from tests.contract.mcp_client import URL, connected, text_of

PAGE = (Path(__file__).parents[2] / "docs" / "api" / "mcp.md").read_text()

SECTION = re.compile(r"^### `(\w+)`\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(json|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARGUMENT = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
SCORE = re.compile(r"score \d\.\d{4}")
DIFFERS = {"dimension", "updated_at", "score", "collection_id"}

CHUNKS = {
    "6d0c1ee4-62c5-5a3b-a7f5-1b2f6a8f3c11": "An insert that was answered is on the disk.",
    "f41f3b0a-0d0e-5d39-8a53-93d0f4c2b722": "It survives a loss of power.",
}


@pytest.fixture
def app(settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]) -> ASGIApp:
    return build_app(settings, open_services=open_services, anonymous_allowed=True)


@pytest.fixture
async def notes(app: ASGIApp) -> AsyncIterator[str]:
    """The UUID of the collection that the page asks."""
    async with running(app) as rest:
        await rest.post("/api/v1/collections", json={"name": "notes", "dimension": 3, "metric": "cosine"})
        rows = [
            {"id": chunk_id, "vector": [1, 1, 0], "payload": _payload(index, text)}
            for index, (chunk_id, text) in enumerate(CHUNKS.items())
        ]
        await rest.post("/api/v1/collections/notes/vectors", json={"vectors": rows})
        yield await _id_of(rest)


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
async def test_every_tool_answers_as_the_page_shows(app: ASGIApp, notes: str, name: str) -> None:
    (_, arguments), (_, structured), (_, words) = BLOCK.findall(sections()[name])
    shown = json.loads(structured)
    shown_id = shown["collections"][0]["id"] if "collections" in shown else notes
    if "collections" in shown:
        shown["collections"][0]["id"] = notes
    async with connected(app) as client:
        result = await client.call_tool(name, json.loads(arguments))
    assert same(shown, result.structured_content), result.structured_content
    told = SCORE.sub("score", words.strip().replace(shown_id, notes))
    assert SCORE.sub("score", text_of(result)) == told


def test_every_tool_and_argument_is_on_the_page() -> None:
    described = {name: ARGUMENT.findall(section) for name, section in sections().items()}
    assert described == {tool.name: list(tool.arguments.model_fields) for tool in TOOLS}


def test_every_revision_and_status_is_on_the_page() -> None:
    assert set(re.findall(r"\b20\d\d-\d\d-\d\d\b(?!T)", PAGE)) == set(KNOWN_PROTOCOL_VERSIONS)
    assert {str(status) for status in STATUS.values()} <= set(
        re.findall(r"^\| (\d{3})\b", PAGE, re.MULTILINE)
    )


async def test_the_configuration_on_the_page_leads_to_a_server(app: ASGIApp, notes: str) -> None:
    [server] = json.loads(BLOCK.findall(PAGE)[0][1])["mcpServers"].values()
    assert (server["type"], httpx.URL(server["url"]).path) == ("http", httpx.URL(URL).path)
    assert list(server["headers"]) == ["Authorization"]
    assert server["headers"]["Authorization"].startswith("Bearer vy_")
