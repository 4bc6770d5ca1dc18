"""A signed-in user of the Vectory API, and what tests do in its name again and again."""

from dataclasses import dataclass
from typing import Any

import httpx

API = "/api"
COLLECTIONS = f"{API}/collections"


@dataclass(frozen=True)
class User:
    """Somebody with a credential."""

    client: httpx.AsyncClient
    headers: dict[str, str]

    async def send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.client.request(method, path, json=body, headers=self.headers)

    async def collection(self, name: str = "docs", **body: Any) -> str:
        """The path of a new collection, of dimension 3 unless the body says otherwise."""
        response = await self.send("POST", COLLECTIONS, {"name": name, "dimension": 3, **body})
        assert response.status_code == 201, response.text
        return f"{COLLECTIONS}/{response.json()['id']}"

    async def insert(self, path: str, *rows: dict[str, Any]) -> list[str]:
        """The ids of new vectors."""
        response = await self.send("POST", f"{path}/vectors", list(rows))
        assert response.status_code == 201, response.text
        return [row["id"] for row in response.json()]

    async def key(self, *scopes: str) -> "User":
        """The same user with an API key."""
        body = {"name": "k", "permissions": {"scopes": list(scopes)}}
        response = await self.send("POST", f"{API}/keys", body)
        assert response.status_code == 201, response.text
        return User(self.client, {"x-api-key": response.json()["raw_key"]})


async def sign_in(client: httpx.AsyncClient, email: str) -> User:
    """A new user."""
    account = {"email": email, "password": "correct horse", "name": "N"}
    assert (await client.post(f"{API}/auth/register", json=account)).status_code == 201
    tokens = (await client.post(f"{API}/auth/login", json=account)).json()
    return User(client, {"authorization": f"Bearer {tokens['access_token']}"})
