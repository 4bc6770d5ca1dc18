"""Accounts and API keys in the Vectory API, and what credentials allow in every family."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import pytest
from starlette.types import ASGIApp

from serve.app import build_app
from serve.services import Services
from serve.settings import ServeSettings
from storage.catalog import ApiKeys
from tests.contract.conftest import running
from tests.contract.envelopes import assert_vectorizer_error, assert_vectory_error

AUTH = "/api/auth"
KEYS = "/api/keys"
PASSWORD = "correct horse"
JSON = {"content-type": "application/json"}
KEY_FIELDS = [
    "id",
    "name",
    "user_id",
    "permissions",
    "rate_limit",
    "last_used_at",
    "created_at",
    "expires_at",
    "is_active",
]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def register(client: httpx.AsyncClient, email: str = "ann@example.com") -> dict[str, Any]:
    body = {"email": email, "password": PASSWORD, "name": "Ann"}
    response = await client.post(f"{AUTH}/register", json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def log_in(client: httpx.AsyncClient, email: str = "ann@example.com") -> dict[str, str]:
    """The tokens of a new user."""
    await register(client, email)
    response = await client.post(f"{AUTH}/login", json={"email": email, "password": PASSWORD})
    assert response.status_code == 200, response.text
    pair: dict[str, str] = response.json()
    return pair


@pytest.fixture
async def ann(client: httpx.AsyncClient) -> dict[str, str]:
    """The headers of a signed-in user."""
    return bearer((await log_in(client))["access_token"])


async def make_key(client: httpx.AsyncClient, owner: dict[str, str], **body: Any) -> dict[str, Any]:
    response = await client.post(KEYS, json={"name": "k", **body}, headers=owner)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def make_collection(
    client: httpx.AsyncClient, name: str, headers: dict[str, str], *, dimension: int = 2
) -> str:
    """Its UUID."""
    body = {"name": name, "dimension": dimension, "metric": "cosine"}
    assert (await client.post("/api/v1/collections", json=body, headers=headers)).status_code == 201
    page = (await client.get("/api/collections", params={"name": name}, headers=headers)).json()
    return str(page["items"][0]["id"])


async def test_a_registration_answers_the_user(client: httpx.AsyncClient) -> None:
    user = await register(client, " Ann@Example.com")
    assert list(user) == ["id", "email", "name", "is_active", "created_at"]
    assert str(UUID(user["id"])) == user["id"]
    assert (user["email"], user["name"], user["is_active"]) == ("ann@example.com", "Ann", True)
    assert user["created_at"].endswith("Z")


@pytest.mark.parametrize("email", ["ann@example.com", "ANN@EXAMPLE.COM"])
async def test_an_email_has_one_account(client: httpx.AsyncClient, email: str) -> None:
    await register(client)
    again = await client.post(f"{AUTH}/register", json={"email": email, "password": PASSWORD, "name": ""})
    assert_vectory_error(again, 409)


async def test_of_two_registrations_at_once_one_wins(client: httpx.AsyncClient) -> None:
    body = {"email": "ann@example.com", "password": PASSWORD, "name": "Ann"}
    both = await asyncio.gather(*(client.post(f"{AUTH}/register", json=body) for _ in range(2)))
    assert sorted(one.status_code for one in both) == [201, 409]


BAD_REGISTRATIONS = {
    "nothing": {},
    "no password": {"email": "a@b.c"},
    "no email": {"password": PASSWORD},
    "number": {"email": "a@b.c", "password": 12345678},
    "short password": {"email": "a@b.c", "password": "1234567"},
    "long password": {"email": "a@b.c", "password": "x" * 1025},
    "no at": {"email": "ab.c", "password": PASSWORD},
    "two ats": {"email": "a@b@c", "password": PASSWORD},
    "nobody": {"email": "@b.c", "password": PASSWORD},
    "nowhere": {"email": "a@", "password": PASSWORD},
    "a space": {"email": "a b@c.d", "password": PASSWORD},
    "NUL": {"email": "a\0@c.d", "password": PASSWORD},
    "long email": {"email": f"{'a' * 251}@b.c", "password": PASSWORD},
    "long name": {"email": "a@b.c", "password": PASSWORD, "name": "x" * 256},
    "NUL in the name": {"email": "a@b.c", "password": PASSWORD, "name": "\0"},
}


@pytest.mark.parametrize("body", BAD_REGISTRATIONS.values(), ids=BAD_REGISTRATIONS)
async def test_a_bad_registration_is_refused(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert_vectory_error(await client.post(f"{AUTH}/register", json=body), 400)


async def test_a_login_answers_tokens_that_work(client: httpx.AsyncClient) -> None:
    user = await register(client)
    body = {"email": "ANN@example.com ", "password": PASSWORD}
    pair = (await client.post(f"{AUTH}/login", json=body)).json()
    assert list(pair) == ["access_token", "refresh_token", "token_type"]
    assert pair["token_type"] == "bearer"
    profile = await client.get(f"{AUTH}/me", headers=bearer(pair["access_token"]))
    assert (profile.status_code, profile.json()) == (200, user)


async def test_who_has_no_account_gets_the_answer_of_a_wrong_password(client: httpx.AsyncClient) -> None:
    await register(client)
    answers = []
    for email in ("ann@example.com", "bob@example.com", "nonsense"):
        response = await client.post(f"{AUTH}/login", json={"email": email, "password": "wrong horse"})
        assert_vectory_error(response, 401)
        answers.append(response.json())
    assert answers == [{"detail": "The email or the password is wrong."}] * 3


async def test_a_refresh_token_is_good_once(client: httpx.AsyncClient) -> None:
    first = await log_in(client)
    response = await client.post(f"{AUTH}/refresh", json={"refresh_token": first["refresh_token"]})
    second = response.json()
    assert (response.status_code, list(second)) == (200, list(first))
    assert (await client.get(f"{AUTH}/me", headers=bearer(second["access_token"]))).status_code == 200
    for used in (first, second):
        again = await client.post(f"{AUTH}/refresh", json={"refresh_token": used["refresh_token"]})
        assert_vectory_error(again, 401)


async def test_of_two_refreshes_at_once_one_wins(client: httpx.AsyncClient) -> None:
    body = {"refresh_token": (await log_in(client))["refresh_token"]}
    both = await asyncio.gather(*(client.post(f"{AUTH}/refresh", json=body) for _ in range(2)))
    assert sorted(one.status_code for one in both) == [200, 401]


async def test_a_token_is_good_for_its_own_purpose_alone(client: httpx.AsyncClient) -> None:
    pair = await log_in(client)
    refused = await client.post(f"{AUTH}/refresh", json={"refresh_token": pair["access_token"]})
    assert_vectory_error(refused, 401)
    assert_vectory_error(await client.get(f"{AUTH}/me", headers=bearer(pair["refresh_token"])), 401)


async def test_a_key_is_made_shown_once_listed_changed_and_revoked(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    assert (await client.get(KEYS, headers=ann)).json() == []
    expires_at = "2127-01-01T00:00:00Z"
    made = await make_key(client, ann, name="My API Key", permissions={}, expires_at=expires_at)
    raw = made.pop("raw_key")
    assert raw.startswith("vy_")
    assert list(made) == KEY_FIELDS
    user = (await client.get(f"{AUTH}/me", headers=ann)).json()
    assert {name: made[name] for name in KEY_FIELDS if name not in ("id", "created_at")} == {
        "name": "My API Key",
        "user_id": user["id"],
        "permissions": {},
        "rate_limit": None,
        "last_used_at": None,
        "expires_at": expires_at,
        "is_active": True,
    }
    listed = await client.get(KEYS, headers=ann)
    assert (listed.status_code, listed.json()) == (200, [made])
    path = f"{KEYS}/{made['id']}"
    changed = await client.patch(path, json={"permissions": {"scopes": ["read"]}}, headers=ann)
    assert (changed.status_code, changed.json()) == (200, {**made, "permissions": {"scopes": ["read"]}})
    renamed = await client.patch(path.upper().replace("/API/KEYS", KEYS), json={"name": "n"}, headers=ann)
    assert renamed.json() == {**made, "name": "n", "permissions": {"scopes": ["read"]}}
    assert (await client.get(f"{AUTH}/me", headers={"x-api-key": raw})).status_code == 200
    revoked = await client.delete(path, headers=ann)
    assert (revoked.status_code, revoked.content) == (204, b"")
    assert_vectory_error(await client.get(f"{AUTH}/me", headers={"x-api-key": raw}), 401)
    assert_vectory_error(await client.delete(path, headers=ann), 404)
    assert (await client.get(KEYS, headers=ann)).json() == []


async def test_an_expired_key_is_listed_as_inactive_and_refused(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    raw = (await make_key(client, ann, expires_at=soon.isoformat()))["raw_key"]
    later = soon + timedelta(seconds=1)
    with patch("serve.surfaces.vectory.account_router.datetime") as clock:
        clock.now.return_value = later
        assert [key["is_active"] for key in (await client.get(KEYS, headers=ann)).json()] == [False]
    with patch("time.time", return_value=later.timestamp()):
        assert_vectory_error(await client.get(f"{AUTH}/me", headers={"x-api-key": raw}), 401)


BAD_KEYS = {
    "nothing": {},
    "empty name": {"name": " "},
    "long name": {"name": "x" * 256},
    "null permissions": {"name": "k", "permissions": None},
    "a list": {"name": "k", "permissions": ["read"]},
    "unknown permission": {"name": "k", "permissions": {"read": True}},
    "unknown scope": {"name": "k", "permissions": {"scopes": ["root"]}},
    "a name for a collection": {"name": "k", "permissions": {"collections": ["docs"]}},
    "past": {"name": "k", "expires_at": "2020-01-01T00:00:00Z"},
    "no time": {"name": "k", "expires_at": "soon"},
    "a number": {"name": "k", "expires_at": 1_900_000_000},
    "beyond time": {"name": "k", "expires_at": "9999-12-31T23:59:59-14:00"},
}


@pytest.mark.parametrize("body", BAD_KEYS.values(), ids=BAD_KEYS)
async def test_a_bad_key_is_refused(
    client: httpx.AsyncClient, ann: dict[str, str], body: dict[str, Any]
) -> None:
    assert_vectory_error(await client.post(KEYS, json=body, headers=ann), 400)
    assert (await client.get(KEYS, headers=ann)).json() == []


async def test_somebody_elses_key_is_not_there(client: httpx.AsyncClient, ann: dict[str, str]) -> None:
    made = await make_key(client, ann)
    bob = bearer((await log_in(client, "bob@example.com"))["access_token"])
    for key_id in (made["id"], str(uuid4()), "no-uuid"):
        assert_vectory_error(await client.delete(f"{KEYS}/{key_id}", headers=bob), 404)
        assert_vectory_error(await client.patch(f"{KEYS}/{key_id}", json={"name": "b"}, headers=bob), 404)
    assert (await client.get(KEYS, headers=bob)).json() == []
    assert [key["name"] for key in (await client.get(KEYS, headers=ann)).json()] == ["k"]


async def test_what_requires_authentication_does_in_every_profile(
    client: httpx.AsyncClient, strict_client: httpx.AsyncClient
) -> None:
    for method, path in (
        ("GET", f"{AUTH}/me"),
        ("GET", KEYS),
        ("POST", KEYS),
        ("PATCH", f"{KEYS}/{uuid4()}"),
        ("DELETE", f"{KEYS}/{uuid4()}"),
    ):
        for one in (client, strict_client):
            assert_vectory_error(await one.request(method, path, content=b"{", headers=JSON), 401)


async def test_where_nobody_is_anonymous_one_registers_and_logs_in(strict_client: httpx.AsyncClient) -> None:
    pair = await log_in(strict_client)
    headers = bearer(pair["access_token"])
    assert_vectory_error(await strict_client.get("/api/collections"), 401)
    assert (await strict_client.get("/api/collections", headers=headers)).json() == {"items": [], "total": 0}
    body = {"refresh_token": pair["refresh_token"]}
    assert (await strict_client.post(f"{AUTH}/refresh", json=body)).status_code == 200


async def test_a_wrong_credential_is_refused_even_where_none_is_needed(client: httpx.AsyncClient) -> None:
    login = {"email": "ann@example.com", "password": PASSWORD}
    assert_vectory_error(await client.post(f"{AUTH}/login", json=login, headers=bearer("x")), 401)


async def test_a_user_sees_their_own_and_locals_collections_in_every_family(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    bob = bearer((await log_in(client, "bob@example.com"))["access_token"])
    anns, locals_ = await make_collection(client, "anns", ann), await make_collection(client, "shared", {})
    for headers, seen in ((ann, ["anns", "shared"]), (bob, ["shared"]), ({}, ["shared"])):
        listed = (await client.get("/api/v1/collections", headers=headers)).json()
        assert sorted(item["name"] for item in listed) == seen
        assert (await client.get(f"/api/collections/{locals_}", headers=headers)).status_code == 200
    for headers in (bob, {}):
        assert_vectory_error(await client.get(f"/api/collections/{anns}", headers=headers), 404)
        response = await client.delete("/api/v1/collections/anns", headers=headers)
        assert_vectorizer_error(response, 404, "COLLECTION_NOT_FOUND")


async def test_in_a_profile_without_anonymous_callers_nobody_sees_locals_collections(
    client: httpx.AsyncClient, ann: dict[str, str], strict_client: httpx.AsyncClient
) -> None:
    shared = await make_collection(client, "shared", {})
    assert (await client.get(f"/api/collections/{shared}", headers=ann)).status_code == 200
    assert_vectory_error(await strict_client.get(f"/api/collections/{shared}", headers=ann), 404)


async def test_a_key_for_reading_reads_and_writes_nothing(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    docs = await make_collection(client, "docs", ann)
    rows = {"vectors": [{"id": "x", "vector": [1, 0]}]}
    path = "/api/v1/collections/docs"
    await client.post(f"{path}/vectors", json=rows, headers=ann)
    reader = {"x-api-key": (await make_key(client, ann, permissions={"scopes": ["read"]}))["raw_key"]}
    question = {"vector": [1, 0]}
    assert (await client.post(f"{path}/search", json=question, headers=reader)).status_code == 200
    assert (
        await client.post(f"/api/collections/{docs}/query", json=question, headers=reader)
    ).status_code == 200
    new = {"name": "new", "dimension": 2, "metric": "cosine"}
    for response in (
        await client.post(f"{path}/vectors", json=rows, headers=reader),
        await client.delete(f"{path}/vectors/x", headers=reader),
        await client.delete(path, headers=reader),
        await client.post("/api/v1/collections", json=new, headers=reader),
    ):
        assert_vectorizer_error(response, 403, "FORBIDDEN")
    for response in (
        await client.get(KEYS, headers=reader),
        await client.post(KEYS, json={"name": "mine"}, headers=reader),
    ):
        assert_vectory_error(response, 403)
    assert (await client.get(path, headers=ann)).json()["vector_count"] == 1


async def test_a_key_for_one_collection_sees_no_other(client: httpx.AsyncClient, ann: dict[str, str]) -> None:
    docs, other = await make_collection(client, "docs", ann), await make_collection(client, "other", ann)
    made = await make_key(client, ann, permissions={"collections": [docs]})
    limited = bearer(made["raw_key"])
    assert (await client.get(f"/api/collections/{docs}", headers=limited)).status_code == 200
    assert (await client.get("/api/collections", headers=limited)).json()["total"] == 1
    assert_vectory_error(await client.get(f"/api/collections/{other}", headers=limited), 404)
    response = await client.get("/api/v1/collections/other", headers=limited)
    assert_vectorizer_error(response, 404, "COLLECTION_NOT_FOUND")
    new = {"name": "new", "dimension": 2, "metric": "cosine"}
    response = await client.post("/api/v1/collections", json=new, headers=limited)
    assert_vectorizer_error(response, 403, "FORBIDDEN")
    assert_vectory_error(await client.post(KEYS, json={"name": "wider"}, headers=limited), 403)


async def test_when_a_key_was_used_is_listed(client: httpx.AsyncClient, ann: dict[str, str]) -> None:
    key = {"x-api-key": (await make_key(client, ann))["raw_key"]}
    noted = asyncio.Event()

    async def note(keys: Any, used: Any) -> None:
        await original(keys, used)
        noted.set()

    original = ApiKeys.note_use
    with patch.object(ApiKeys, "note_use", note):
        await client.get("/api/collections", headers=key)
        await noted.wait()
    [listed] = (await client.get(KEYS, headers=ann)).json()
    assert listed["last_used_at"] > listed["created_at"]


async def test_accounts_keys_and_their_use_are_there_after_a_restart(
    settings: ServeSettings, open_services: Callable[[], Awaitable[Services]]
) -> None:
    def app() -> ASGIApp:
        return build_app(settings, open_services=open_services, anonymous_allowed=False)

    async with running(app()) as client:
        headers = bearer((await log_in(client))["access_token"])
        key = {"x-api-key": (await make_key(client, headers))["raw_key"]}
        await client.get(f"{AUTH}/me", headers=key)
        before = datetime.now(UTC)
        await client.get(f"{AUTH}/me", headers=key)
    async with running(app()) as client:
        [listed] = (await client.get(KEYS, headers=headers)).json()
        assert datetime.fromisoformat(listed["last_used_at"]) > before
        for again in (headers, key):
            assert (await client.get(f"{AUTH}/me", headers=again)).json()["email"] == "ann@example.com"


async def test_no_secret_is_logged(client: httpx.AsyncClient, logs: list[Any]) -> None:
    pair = await log_in(client)
    made = await make_key(client, bearer(pair["access_token"]))
    await client.post(f"{AUTH}/refresh", json={"refresh_token": pair["refresh_token"] + "x"})
    for secret in (PASSWORD, pair["access_token"], pair["refresh_token"], made["raw_key"]):
        assert secret not in repr(logs)
