"""A server of the Web Content API, some who use it, and who does to URLs what the pipeline does."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from pipelines.url_chunks import NewChunks, replace_chunks
from serve.services import Services
from storage.catalog import ProjectUrls
from tests.contract.conftest import MODEL, LetterEmbedder
from tests.url_states import bring_url
from vectoray.core.projects import UrlStatus

API = "/api/v1"
PASSWORD = "correct horse"
Open = Callable[[], Awaitable[Services]]


class Opened:
    """Opens services, and remembers them."""

    def __init__(self, open_services: Open) -> None:
        self._open = open_services
        self.services: Services | None = None

    async def __call__(self) -> Services:
        self.services = await self._open()
        return self.services


@dataclass(frozen=True)
class User:
    """Somebody who is signed in."""

    id: str
    email: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Site:
    """A running server."""

    client: httpx.AsyncClient
    opened: Opened

    @property
    def services(self) -> Services:
        assert self.opened.services is not None
        return self.opened.services

    async def call(self, method: str, path: str, who: User | None = None, **options: Any) -> httpx.Response:
        headers = {**({} if who is None else who.headers), **options.pop("headers", {})}
        return await self.client.request(method, f"{API}{path}", headers=headers, **options)

    async def sign_up(self, name: str) -> User:
        login = {"email": f"{name}@example.com", "password": PASSWORD}
        made = (await self.call("POST", "/users", json=login)).json()
        token = (await self.call("POST", "/auth/token", json=login)).json()["access_token"]
        return User(made["user_id"], made["email"], {"authorization": f"Bearer {token}"})

    async def key(self, who: User, **permissions: Any) -> User:
        """The same user, by an API key."""
        body = {"name": "k", "permissions": permissions}
        made = (await self.client.post("/api/keys", json=body, headers=who.headers)).json()
        return User(who.id, who.email, {"x-api-key": made["raw_key"]})

    async def project(self, who: User, name: str = "Research Project") -> str:
        response = await self.call("POST", "/projects", who, json={"project_name": name})
        assert response.status_code == 201, response.text
        return str(response.json()["project_id"])

    async def submit(self, who: User, project: str, url: str) -> str:
        response = await self.call("POST", f"/projects/{project}/urls", who, json={"original_url": url})
        assert response.status_code == 202, response.text
        return str(response.json()["url_id"])

    async def store(self, url_id: str, *contents: str) -> None:
        """Bring a pending URL all the way, with these chunks."""
        await self.move(url_id, UrlStatus.CRAWLING)
        await self.move(url_id, UrlStatus.ENCODING)
        await self.write_chunks(url_id, contents)
        await self.move(url_id, UrlStatus.STORED)

    async def fail(self, url_id: str, reason: str) -> None:
        await self.move(url_id, UrlStatus.CRAWLING)
        await self.move(url_id, UrlStatus.FAILED, reason)

    async def move(self, url_id: str, to: UrlStatus, reason: str | None = None) -> None:
        await bring_url(self.services.catalog.database, url_id, to, reason)

    async def write_chunks(self, url_id: str, contents: Sequence[str]) -> None:
        url = (await ProjectUrls(self.services.catalog.database).find([url_id]))[url_id]
        collection = await self.services.catalog.of_project(url.project)
        assert collection is not None
        vectors = await LetterEmbedder().embed(MODEL.name, contents)
        await replace_chunks(
            self.services.engine, collection, url_id, NewChunks(contents, vectors.reshape(-1, 3))
        )
