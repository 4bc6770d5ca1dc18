"""Credentials in forms that only somebody who tries makes: none opens more than what was given."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.contract.envelopes import assert_vectory_error
from tests.contract.test_accounts import AUTH, PASSWORD, ann, bearer, log_in, make_collection, make_key

__all__ = ["ann"]

ME = f"{AUTH}/me"
SPELLINGS = ["{}", "{{{}}}", "urn:uuid:{}", "urn:uuid:{{{}}}"]


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_key_for_one_collection_finds_no_other_however_it_is_spelled(
    client: httpx.AsyncClient, ann: dict[str, str], spelling: str
) -> None:
    docs, other = await make_collection(client, "docs", ann), await make_collection(client, "other", ann)
    made = await make_key(client, ann, permissions={"collections": [spelling.format(docs.upper())]})
    limited = bearer(made["raw_key"])
    for collection, status in ((docs, 200), (other, 404)):
        for text in (collection, collection.upper(), UUID(collection).hex):
            path = f"/api/collections/{spelling.format(text)}"
            assert (await client.get(path, headers=limited)).status_code == status
            asked = await client.post(f"{path}/query", json={"vector": [1, 0]}, headers=limited)
            assert asked.status_code == status


async def test_a_key_that_ends_gives_rights_to_none_that_ends_later(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    ends = bearer((await make_key(client, ann, expires_at="2127-01-01T00:00:00Z"))["raw_key"])
    for later in ({}, {"expires_at": None}, {"expires_at": "2127-01-01T00:00:01Z"}):
        assert_vectory_error(await client.post("/api/keys", json={"name": "k", **later}, headers=ends), 403)
    assert len((await client.get("/api/keys", headers=ann)).json()) == 1
    for at in ("2127-01-01T00:00:00Z", "2126-01-01T00:00:00Z"):
        await make_key(client, ends, expires_at=at)
    for_ever = await make_key(client, ann, permissions={"scopes": ["read"]})
    path = f"/api/keys/{for_ever['id']}"
    changes: tuple[dict[str, Any], ...] = ({"permissions": {}}, {"rate_limit": None})
    for wider in changes:
        assert_vectory_error(await client.patch(path, json=wider, headers=ends), 403)
    assert (await client.patch(path, json={"name": "n"}, headers=ends)).status_code == 200
    reader = {"x-api-key": for_ever["raw_key"]}
    assert_vectory_error(await client.get("/api/keys", headers=reader), 403)
    await make_key(client, bearer((await make_key(client, ann))["raw_key"]))


async def test_of_two_authorizations_the_first_counts_alone(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    good, bad = ("authorization", ann["authorization"]), ("authorization", "Bearer x")
    assert (await client.get(ME, headers=[good, bad])).status_code == 200
    assert_vectory_error(await client.get(ME, headers=[bad, good]), 401)


async def test_a_wrong_authorization_is_not_made_good_by_a_key(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    key = (await make_key(client, ann))["raw_key"]
    for wrong in ("", "Bearer", "Basic YTpi", "Bearer x", f"Bearer\t{key}", f"Bearer\u00a0{key}", key):
        headers = [(b"authorization", wrong.encode("latin-1")), (b"x-api-key", key.encode())]
        assert_vectory_error(await client.get(ME, headers=headers), 401)


async def test_a_key_in_another_form_is_no_key(client: httpx.AsyncClient, ann: dict[str, str]) -> None:
    key = (await make_key(client, ann))["raw_key"]
    for other in (key.upper(), f" {key}", f"{key} ", f"{key}\0", key[:-1], f"{key}=", f"Bearer {key}"):
        assert_vectory_error(await client.get(ME, headers={"x-api-key": other}), 401)


@pytest.mark.parametrize("secret", ["a" * 60_000, "a." * 30_000, "vy_" + "0" * 60_000, "ÿ" * 1000])
async def test_a_credential_of_any_length_is_only_wrong(client: httpx.AsyncClient, secret: str) -> None:
    for headers in ({b"authorization": b"Bearer " + secret.encode()}, {b"x-api-key": secret.encode()}):
        assert_vectory_error(await client.get(ME, headers=headers), 401)
    assert_vectory_error(await client.post(f"{AUTH}/refresh", json={"refresh_token": secret}), 401)


async def test_what_is_wrong_with_a_body_does_not_repeat_it(client: httpx.AsyncClient) -> None:
    for path, body in (
        ("login", {"email": {"x": PASSWORD}, "password": PASSWORD}),
        ("login", {"email": "ann@example.com", "password": [PASSWORD]}),
        ("login", PASSWORD),
        ("register", {"email": "ann@example.com", "password": {PASSWORD: PASSWORD}, "name": 1}),
        ("refresh", {"refresh_token": [PASSWORD]}),
    ):
        response = await client.post(f"{AUTH}/{path}", json=body)
        assert_vectory_error(response, 400)
        assert PASSWORD not in response.text


async def test_a_key_where_its_id_belongs_is_not_repeated(
    client: httpx.AsyncClient, ann: dict[str, str]
) -> None:
    key = (await make_key(client, ann))["raw_key"]
    response = await client.delete(f"/api/keys/{key}", headers=ann)
    assert_vectory_error(response, 404)
    assert key[-43:] not in response.text


async def test_letters_that_are_only_alike_open_no_other_account(client: httpx.AsyncClient) -> None:
    await log_in(client, "gross@example.com")
    body = {"email": "groß@example.com", "password": PASSWORD}
    assert_vectory_error(await client.post(f"{AUTH}/login", json=body), 401)
    await log_in(client, "groß@example.com")
