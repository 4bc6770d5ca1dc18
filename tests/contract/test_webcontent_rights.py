"""Who may do what in the Web Content API: every endpoint of a project, by everybody who may come."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from fastapi.routing import APIRoute

from serve.app import build_app
from serve.settings import ServeSettings
from serve.surfaces.webcontent.surface import WEBCONTENT
from storage.catalog import Accounts, Projects
from storage.catalog.account_tables import UserRow
from tests.contract.conftest import running
from tests.contract.envelopes import assert_webcontent_error
from tests.contract.web_site import Open, Opened, Site, User

Operations = dict[str, dict[str, Any] | None]
"""Method and path -> the body to send."""

READ: Operations = {
    "GET /projects/{project_id}/urls": None,
    "GET /projects/{project_id}/urls/{url_id}": None,
    "GET /projects/{project_id}/urls/{url_id}/chunks": None,
    "POST /projects:query": {"query": "a", "project_ids": ["{project_id}"]},
}
"""What a share opens."""

READ_SIGNED_IN: Operations = {"GET /projects/{project_id}": None}
"""What a share with a user opens besides."""

CHANGE: Operations = {
    "PATCH /projects/{project_id}": {"project_name": "mine"},
    "POST /projects/{project_id}/urls": {"original_url": "https://example.com/new"},
    "POST /projects/{project_id}/urls:batch": {"urls": ["https://example.com/new"]},
    "POST /projects/{project_id}/urls/{url_id}:reprocess": None,
    "POST /projects/{project_id}/shares": {"shared_with_user_id": "{somebody}"},
    "GET /projects/{project_id}/shares": None,
    "DELETE /projects/{project_id}/shares/{share_id}": None,
    "DELETE /projects/{project_id}": None,
}
"""What the owner alone may do, in an order in which each can be done."""

OWN: Operations = {
    "GET /projects": None,
    "GET /users/me/shared-projects": None,
    "GET /users/me": None,
    "GET /system/transformer-model": None,
    "GET /system/status": None,
}
"""What every reader may ask, about nobody's project."""

MAKE: Operations = {"POST /projects": {"project_name": "p"}}
"""What everybody may do who may write."""

OPEN = {
    "POST /users",
    "POST /auth/token",
    "POST /auth/google",
    "POST /auth/microsoft",
    "GET /shared-projects/{token}",
}
"""What needs no credential."""


@dataclass(frozen=True)
class World:
    """A project with a stored URL, and everybody who may come for it."""

    site: Site
    ids: dict[str, str]
    token: str
    owner: User
    sharee: User
    stranger: User
    admin: User

    async def ask(self, operation: str, body: Any, who: User | None, **options: Any) -> httpx.Response:
        method, path = operation.split(" ")
        for name, value in self.ids.items():
            path = path.replace(f"{{{name}}}", value)
        if body is not None:
            options["json"] = {key: self._filled(value) for key, value in body.items()}
        return await self.site.call(method, path, who, **options)

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._filled(one) for one in value]
        return self.ids.get(value.strip("{}"), value)


@pytest.fixture(params=[True, False], ids=["local", "strict"])
async def world(
    request: pytest.FixtureRequest, settings: ServeSettings, open_services: Open
) -> AsyncIterator[World]:
    opened = Opened(open_services)
    app = build_app(settings, open_services=opened, anonymous_allowed=request.param)
    async with running(app) as client:
        site = Site(client, opened)
        users = [await site.sign_up(name) for name in ("owner", "sharee", "stranger", "admin", "somebody")]
        owner, sharee, _, admin, somebody = users
        await make_admin(site, admin)
        project = await site.project(owner)
        url_id = await site.submit(owner, project, "https://example.com/")
        await site.store(url_id, "a page")
        shares = f"/projects/{project}/shares"
        share = (await site.call("POST", shares, owner, json={"shared_with_user_id": sharee.id})).json()
        token = (await site.call("POST", shares, owner, json={})).json()["share_token"]
        share_id = share["name"].rpartition("/")[2]
        ids = {"project_id": project, "url_id": url_id, "share_id": share_id, "somebody": somebody.id}
        yield World(site, ids, token, *users[:4])


async def make_admin(site: Site, who: User) -> None:
    def work(session: Any) -> None:
        session.get(UserRow, who.id).is_admin = True

    await site.services.catalog.database.write(work)
    found = await Accounts(site.services.catalog.database).user(who.id)
    assert found is not None
    assert found.is_admin


def test_every_endpoint_is_in_one_of_these_tables() -> None:
    routes = {
        f"{method} {route.path.removeprefix('/api/v1')}"
        for route in WEBCONTENT.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert routes == {*READ, *READ_SIGNED_IN, *CHANGE, *OWN, *MAKE, *OPEN}


async def test_the_owner_may_do_everything(world: World) -> None:
    for operation, body in {**READ, **READ_SIGNED_IN, **OWN, **MAKE, **CHANGE}.items():
        response = await world.ask(operation, body, world.owner)
        assert response.is_success, f"{operation}: {response.text}"


async def test_who_has_no_credential_may_do_nothing(world: World) -> None:
    for operation, body in {**READ, **READ_SIGNED_IN, **CHANGE, **MAKE, **OWN}.items():
        assert_webcontent_error(await world.ask(operation, body, None), 401)


async def test_for_others_and_admins_the_project_is_not_there(world: World) -> None:
    for who in (world.stranger, world.admin):
        for operation, body in {**READ, **READ_SIGNED_IN, **CHANGE}.items():
            assert_webcontent_error(await world.ask(operation, body, who), 404)
        assert (await world.site.call("GET", "/projects", who)).json() == []
        query = await world.site.call("POST", "/projects:query", who, json={"query": "a"})
        assert query.json() == {"results": []}


async def test_with_whom_it_is_shared_reads_and_changes_nothing(world: World) -> None:
    for operation, body in {**READ, **READ_SIGNED_IN, **OWN}.items():
        assert (await world.ask(operation, body, world.sharee)).status_code == 200, operation
    for operation, body in CHANGE.items():
        assert_webcontent_error(await world.ask(operation, body, world.sharee), 403)
    assert (await world.site.call("GET", "/projects", world.sharee)).json() == []
    everywhere = await world.site.call("POST", "/projects:query", world.sharee, json={"query": "a"})
    assert [result["content"] for result in everywhere.json()["results"]] == ["a page"]


@pytest.mark.parametrize("in_header", [True, False])
async def test_a_share_token_reads_with_and_without_a_login(world: World, *, in_header: bool) -> None:
    def sent(token: str) -> dict[str, Any]:
        return {"headers": {"x-share-token": token}} if in_header else {"params": {"share_token": token}}

    for who in (None, world.stranger):
        for operation, body in READ.items():
            assert (await world.ask(operation, body, who, **sent(world.token))).status_code == 200, operation
            assert_webcontent_error(await world.ask(operation, body, who, **sent(world.token[:-1])), 404)
        for operation, body in {**READ_SIGNED_IN, **CHANGE}.items():
            response = await world.ask(operation, body, who, **sent(world.token))
            assert_webcontent_error(response, 401 if who is None else 404)
        everywhere = await world.site.call(
            "POST", "/projects:query", who, json={"query": "a"}, **sent(world.token)
        )
        assert [result["content"] for result in everywhere.json()["results"]] == ["a page"]


async def test_a_wrong_credential_is_refused_beside_a_share_token(world: World) -> None:
    headers = {"x-share-token": world.token, "authorization": "Bearer wrong"}
    for operation, body in READ.items():
        assert_webcontent_error(await world.ask(operation, body, None, headers=headers), 401)


async def test_a_share_token_opens_its_own_project_alone(world: World) -> None:
    other = await world.site.project(world.owner)
    headers = {"x-share-token": world.token}
    response = await world.site.call("GET", f"/projects/{other}/urls", headers=headers)
    assert_webcontent_error(response, 404)


async def test_a_key_for_reading_reads_and_changes_nothing(world: World) -> None:
    reader = await world.site.key(world.owner, scopes=["read"])
    for operation, body in {**READ, **READ_SIGNED_IN, **OWN}.items():
        assert (await world.ask(operation, body, reader)).status_code == 200, operation
    for operation, body in {**CHANGE, **MAKE}.items():
        assert_webcontent_error(await world.ask(operation, body, reader), 403)


async def test_a_key_for_some_collections_has_no_projects(world: World) -> None:
    collection = await world.site.services.catalog.of_project(world.ids["project_id"])
    assert collection is not None
    limited = await world.site.key(world.owner, collections=[collection.id])
    operations = {**READ, **READ_SIGNED_IN, **CHANGE, **MAKE, "GET /projects": None}
    for operation, body in operations.items():
        assert_webcontent_error(await world.ask(operation, body, limited), 403)
    path = f"/api/collections/{collection.id}"
    assert (await world.site.client.get(path, headers=limited.headers)).status_code == 404


async def test_a_key_that_writes_does_what_its_user_may(world: World) -> None:
    key = await world.site.key(world.owner)
    for operation, body in CHANGE.items():
        assert (await world.ask(operation, body, key)).is_success, operation


async def test_no_share_token_is_logged(world: World, logs: list[Any]) -> None:
    await world.site.call("GET", f"/shared-projects/{world.token}")
    headers = {"x-share-token": world.token}
    await world.site.call("GET", f"/projects/{world.ids['project_id']}/urls", headers=headers)
    with patch.object(Projects, "readable", side_effect=RuntimeError):
        crashed = await world.site.call("GET", f"/shared-projects/{world.token}")
    assert_webcontent_error(crashed, 500)
    assert "request_crashed" in [line["event"] for line in logs]
    assert world.token not in repr(logs)
