"""Something of every kind, made over the API alone, for tests that go through all operations."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Seeded:
    """What `seed` has made.

    Attributes:
        token: The access token of whose it is.
        ids: Names of parameters in paths -> an id that exists.
    """

    token: str
    ids: Mapping[str, str]


def seed(url: str) -> Seeded:
    """Make a user, and something of every kind that is theirs, on the server at ``url``."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        login = {"email": "owner@example.com", "password": PASSWORD}
        assert client.post("/api/auth/register", json={**login, "name": "Owner"}).status_code == 201
        token = client.post("/api/auth/login", json=login).json()["access_token"]
        client.headers["authorization"] = f"Bearer {token}"
        wanted = {"name": "docs", "dimension": 3, "metric": "cosine"}
        assert client.post("/api/v1/collections", json=wanted).status_code == 201
        vectors = [{"id": name, "vector": [1, 2, 3], "payload": {"content": name}} for name in "ab"]
        answer = client.post("/api/v1/collections/docs/vectors", json={"vectors": vectors})
        assert answer.status_code == 201
        [collection] = client.get("/api/collections").json()["items"]
        key = client.post("/api/keys", json={"name": "key", "permissions": {}}).json()
        project = client.post("/api/v1/projects", json={"project_name": "p"}).json()["project_id"]
        page = {"original_url": "https://example.com/"}
        url_id = client.post(f"/api/v1/projects/{project}/urls", json=page).json()["url_id"]
        share = client.post(f"/api/v1/projects/{project}/shares", json={}).json()
        ids = {
            "project_id": project,
            "url_id": url_id,
            "share_id": share["name"].rpartition("/")[2],
            "token": share["share_token"],
            "collection_name": "docs",
            "collection": "docs",
            "collection_id": collection["id"],
            "vector_id": "a",
            "key_id": key["id"],
        }
        return Seeded(token, ids)
