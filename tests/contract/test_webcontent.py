"""The Web Content API: the documented fields, formats and statuses of every endpoint."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import httpx
import pytest

from cluster.engine import Engine
from serve.app import build_app
from serve.service.limits import Limits
from serve.services import Services
from serve.settings import ServeSettings
from storage.catalog import Catalog
from tests.contract.conftest import LetterEmbedder, close_beside, running
from tests.contract.envelopes import assert_webcontent_error
from tests.contract.web_site import PASSWORD, Open, Opened, Site, User
from vectoray.core.errors import ShardUnavailable, Unavailable
from vectoray.core.projects import UrlStatus

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PROJECT_FIELDS = ["project_id", "user_id", "project_name", "created_at"]
URL_FIELDS = [
    "url_id",
    "project_id",
    "original_url",
    "status",
    "failure_reason",
    "submitted_at",
    "last_updated_at",
]
CHUNK_FIELDS = ["chunk_id", "url_id", "project_id", "content", "chunk_index", "created_at"]
SHARE_FIELDS = ["name", "project_id", "shared_with_user_id", "share_token", "created_at"]
ARTICLE = "https://example.com/article"


@pytest.fixture
async def site(settings: ServeSettings, open_services: Open) -> AsyncIterator[Site]:
    opened = Opened(open_services)
    app = build_app(settings, open_services=opened, anonymous_allowed=True)
    async with running(app) as client:
        yield Site(client, opened)


@pytest.fixture
async def ann(site: Site) -> User:
    return await site.sign_up("ann")


@pytest.fixture
async def bob(site: Site) -> User:
    return await site.sign_up("bob")


@pytest.fixture
async def project(site: Site, ann: User) -> str:
    return await site.project(ann)


def body_of(response: httpx.Response, status: int) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def uuid(text: str) -> bool:
    return str(UUID(text)) == text


async def test_a_user_registers_logs_in_and_sees_themselves(site: Site) -> None:
    login = {"email": "User@example.com", "password": PASSWORD}
    made = body_of(await site.call("POST", "/users", json=login), 201)
    assert list(made) == ["user_id", "email", "created_at"]
    assert uuid(made["user_id"])
    assert made["email"] == "user@example.com"
    assert TIME.fullmatch(made["created_at"])
    token = body_of(await site.call("POST", "/auth/token", json=login), 200)
    assert list(token) == ["access_token", "token_type"]
    assert token["token_type"] == "bearer"
    headers = {"authorization": f"Bearer {token['access_token']}"}
    assert body_of(await site.call("GET", "/users/me", headers=headers), 200) == made
    assert_webcontent_error(await site.call("POST", "/users", json=login), 409)
    wrong = {**login, "password": "wrong horse"}
    assert_webcontent_error(await site.call("POST", "/auth/token", json=wrong), 401)
    assert_webcontent_error(await site.call("POST", "/users", json={**login, "password": "short"}), 400)


async def test_a_project_is_made_listed_shown_renamed_and_deleted(site: Site, ann: User) -> None:
    made = body_of(await site.call("POST", "/projects", ann, json={"project_name": "Research"}), 201)
    assert list(made) == PROJECT_FIELDS
    assert uuid(made["project_id"])
    assert (made["user_id"], made["project_name"]) == (ann.id, "Research")
    assert TIME.fullmatch(made["created_at"])
    second = await site.project(ann, "Personal Notes")
    listed = body_of(await site.call("GET", "/projects", ann), 200)
    assert [one["project_id"] for one in listed] == [made["project_id"], second]
    assert listed[0] == made
    path = f"/projects/{made['project_id']}"
    assert body_of(await site.call("GET", path.upper().replace("/PROJECTS", "/projects"), ann), 200) == made
    renamed = body_of(await site.call("PATCH", path, ann, json={"project_name": "Updated"}), 200)
    assert renamed == {**made, "project_name": "Updated"}
    assert body_of(await site.call("GET", path, ann), 200) == renamed
    deleted = await site.call("DELETE", path, ann)
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert_webcontent_error(await site.call(method, path, ann), 404)
    assert [one["project_id"] for one in (await site.call("GET", "/projects", ann)).json()] == [second]


@pytest.mark.parametrize("name", ["", " ", "x" * 256, "a\0b", "a\nb", None, 7])
async def test_a_bad_project_name_is_refused(site: Site, ann: User, project: str, name: Any) -> None:
    for method, path in (("POST", "/projects"), ("PATCH", f"/projects/{project}")):
        assert_webcontent_error(await site.call(method, path, ann, json={"project_name": name}), 400)
    [only] = (await site.call("GET", "/projects", ann)).json()
    assert only["project_name"] == "Research Project"


async def test_a_projects_collection_is_in_no_family_and_no_list(
    site: Site, ann: User, project: str, engine: Engine
) -> None:
    collection = await site.services.catalog.of_project(project)
    assert collection is not None
    assert (collection.dimension, collection.embedding_model) == (3, "letters-3")
    for path in ("/api/v1/collections", "/api/collections"):
        answer = (await site.client.get(path, headers=ann.headers)).json()
        assert answer in ([], {"items": [], "total": 0})
    for path in (f"/api/collections/{collection.id}", f"/api/v1/collections/projects%2F{project}"):
        for method in ("GET", "DELETE"):
            response = await site.client.request(method, path, headers=ann.headers)
            assert response.status_code in (400, 404, 405), response.text
    assert [stats is not None for stats in await engine.stats([collection])] == [True]


async def test_a_url_is_submitted_and_shown_while_it_comes_along(site: Site, ann: User, project: str) -> None:
    path = f"/projects/{project}/urls"
    made = body_of(await site.call("POST", path, ann, json={"original_url": ARTICLE}), 202)
    assert list(made) == URL_FIELDS
    assert uuid(made["url_id"])
    assert made["project_id"] == project
    assert (made["original_url"], made["status"], made["failure_reason"]) == (ARTICLE, "pending", None)
    assert TIME.fullmatch(made["submitted_at"])
    assert made["last_updated_at"] == made["submitted_at"]
    assert body_of(await site.call("GET", path, ann), 200) == [made]
    for status in (UrlStatus.CRAWLING, UrlStatus.ENCODING, UrlStatus.STORED):
        await site.move(made["url_id"], status)
        now = body_of(await site.call("GET", f"{path}/{made['url_id']}", ann), 200)
        assert now == {**made, "status": status.value, "last_updated_at": now["last_updated_at"]}
        assert now["last_updated_at"] >= made["last_updated_at"]


async def test_a_url_that_the_project_has_is_a_documented_conflict(
    site: Site, ann: User, project: str
) -> None:
    url_id = await site.submit(ann, project, "http://example.com/a?x=1")
    same = {"original_url": "HTTP://EXAMPLE.com:80/./a?x=1#part"}
    for status in (UrlStatus.CRAWLING, UrlStatus.ENCODING, UrlStatus.STORED):
        await site.move(url_id, status)
        answer = body_of(await site.call("POST", f"/projects/{project}/urls", ann, json=same), 409)
        existing = (await site.call("GET", f"/projects/{project}/urls/{url_id}", ann)).json()
        assert answer == {"message": "URL already exists in this project", "existing_url": existing}
        assert (existing["original_url"], existing["status"]) == ("http://example.com/a?x=1", status.value)


async def test_of_two_submissions_at_once_one_wins(site: Site, ann: User, project: str) -> None:
    path, body = f"/projects/{project}/urls", {"original_url": ARTICLE}
    both = await asyncio.gather(*(site.call("POST", path, ann, json=body) for _ in range(2)))
    assert sorted(one.status_code for one in both) == [202, 409]
    assert len((await site.call("GET", path, ann)).json()) == 1


async def test_a_failed_url_may_be_submitted_again_under_its_id(site: Site, ann: User, project: str) -> None:
    url_id = await site.submit(ann, project, ARTICLE)
    await site.fail(url_id, "Page not found (404)")
    path = f"/projects/{project}/urls"
    failed = (await site.call("GET", f"{path}/{url_id}", ann)).json()
    assert (failed["status"], failed["failure_reason"]) == ("failed", "Page not found (404)")
    again = body_of(await site.call("POST", path, ann, json={"original_url": f"{ARTICLE}#x"}), 202)
    assert again["last_updated_at"] >= failed["last_updated_at"]
    assert again == {
        **failed,
        "status": "pending",
        "failure_reason": None,
        "last_updated_at": again["last_updated_at"],
    }


async def test_a_batch_tells_new_urls_from_those_there_are(site: Site, ann: User, project: str) -> None:
    old = await site.submit(ann, project, "https://example.com/article4")
    failed = await site.submit(ann, project, "https://example.com/article5")
    await site.fail(failed, "Timed out after 30 s")
    urls = [f"https://example.com/article{number}" for number in (3, 1, 4, 5, 2, 1, 4)]
    path = f"/projects/{project}/urls"
    answer = body_of(await site.call("POST", f"{path}:batch", ann, json={"urls": urls}), 202)
    assert list(answer) == ["submitted_urls", "duplicate_urls"]
    submitted, duplicates = answer["submitted_urls"], answer["duplicate_urls"]
    assert [one["original_url"][-1] for one in submitted] == ["3", "1", "5", "2"]
    assert [one["original_url"][-1] for one in duplicates] == ["4", "1"]
    assert [list(one) for one in (*submitted, *duplicates)] == [URL_FIELDS] * 6
    assert {one["status"] for one in submitted} == {"pending"}
    assert (duplicates[0]["url_id"], duplicates[1]) == (old, submitted[1])
    listed = [one["original_url"][-1] for one in (await site.call("GET", path, ann)).json()]
    assert listed == ["4", "5", "3", "1", "2"]
    again = body_of(await site.call("POST", f"{path}:batch", ann, json={"urls": urls}), 202)
    assert again["submitted_urls"] == []
    assert len(again["duplicate_urls"]) == 5


BAD_URLS = ["", "example.com", "ftp://example.com/", "https://", "http://u:p@example.com/", 7, None]


@pytest.mark.parametrize("url", BAD_URLS)
async def test_a_bad_url_is_refused_and_named(site: Site, ann: User, project: str, url: Any) -> None:
    path = f"/projects/{project}/urls"
    assert_webcontent_error(await site.call("POST", path, ann, json={"original_url": url}), 400)
    response = await site.call("POST", f"{path}:batch", ann, json={"urls": [ARTICLE, url]})
    assert_webcontent_error(response, 400)
    assert "urls[1]" in response.json()["detail"]
    assert (await site.call("GET", path, ann)).json() == []


async def test_a_batch_has_at_least_one_url_and_so_many_at_most(site: Site, ann: User, project: str) -> None:
    path = f"/projects/{project}/urls:batch"
    for count, status in ((0, 400), (1000, 202), (1001, 400)):
        urls = [f"https://example.com/{count}/{number}" for number in range(count)]
        assert (await site.call("POST", path, ann, json={"urls": urls})).status_code == status
    assert len((await site.call("GET", f"/projects/{project}/urls", ann)).json()) == 1000


async def test_a_project_has_so_many_urls_at_most(settings: ServeSettings, open_services: Open) -> None:
    async def open_narrow() -> Services:
        services = await open_services()
        narrow = replace(services.project_urls, limits=Limits(max_project_urls=2))
        return replace(services, project_urls=narrow)

    app = build_app(settings, open_services=open_narrow, anonymous_allowed=False)
    async with running(app) as client:
        site = Site(client, Opened(open_narrow))
        ann = await site.sign_up("ann")
        path = f"/projects/{await site.project(ann)}/urls"
        for body, status in (
            ({"urls": [ARTICLE, f"{ARTICLE}1", f"{ARTICLE}2"]}, 400),
            ({"urls": [ARTICLE, f"{ARTICLE}1"]}, 202),
            ({"urls": [ARTICLE]}, 202),
            ({"urls": [f"{ARTICLE}2", ARTICLE]}, 400),
        ):
            assert (await site.call("POST", f"{path}:batch", ann, json=body)).status_code == status
        assert len((await site.call("GET", path, ann)).json()) == 2


async def test_urls_are_filtered_by_status(site: Site, ann: User, project: str) -> None:
    path = f"/projects/{project}/urls"
    ids = [await site.submit(ann, project, f"{ARTICLE}{number}") for number in range(3)]
    await site.store(ids[0])
    await site.fail(ids[1], "Blocked by robots.txt")
    for status, expected in (
        ("stored", [ids[0]]),
        ("failed", [ids[1]]),
        ("pending", [ids[2]]),
        ("crawling", []),
    ):
        found = body_of(await site.call("GET", path, ann, params={"status": status}), 200)
        assert [one["url_id"] for one in found] == expected
    assert_webcontent_error(await site.call("GET", path, ann, params={"status": "done"}), 400)


async def test_chunks_come_in_order_with_vectors_when_asked(site: Site, ann: User, project: str) -> None:
    url_id = await site.submit(ann, project, ARTICLE)
    path = f"/projects/{project}/urls/{url_id}/chunks"
    assert body_of(await site.call("GET", path, ann), 200) == []
    contents = [f"{'a' * (number + 1)} b" for number in range(12)]
    await site.store(url_id, *contents)
    chunks = body_of(await site.call("GET", path, ann), 200)
    assert [list(chunk) for chunk in chunks] == [CHUNK_FIELDS] * 12
    assert [chunk["content"] for chunk in chunks] == contents
    assert [chunk["chunk_index"] for chunk in chunks] == list(range(12))
    assert all(uuid(chunk["chunk_id"]) and TIME.fullmatch(chunk["created_at"]) for chunk in chunks)
    assert {(chunk["url_id"], chunk["project_id"]) for chunk in chunks} == {(url_id, project)}
    with_vectors = (await site.call("GET", path, ann, params={"include_vectors": "true"})).json()
    assert list(with_vectors[0]) == [*CHUNK_FIELDS, "embedding"]
    assert with_vectors[1]["embedding"] == [2.0, 1.0, 0.0]
    assert_webcontent_error(await site.call("GET", path, ann, params={"include_vectors": "maybe"}), 400)


async def test_reprocessing_keeps_the_chunks_until_there_are_new_ones(
    site: Site, ann: User, project: str
) -> None:
    url_id, other = await site.submit(ann, project, ARTICLE), await site.submit(ann, project, f"{ARTICLE}2")
    await site.store(url_id, "a", "b", "c")
    await site.store(other, "abc")
    path = f"/projects/{project}/urls/{url_id}"
    stored = (await site.call("GET", path, ann)).json()
    again = body_of(await site.call("POST", f"{path}:reprocess", ann), 202)
    assert again == {**stored, "status": "pending", "last_updated_at": again["last_updated_at"]}
    assert [one["content"] for one in (await site.call("GET", f"{path}/chunks", ann)).json()] == [
        "a",
        "b",
        "c",
    ]
    assert body_of(await site.call("POST", f"{path}:reprocess", ann), 202) == again
    await site.store(url_id, "new a")
    assert [one["content"] for one in (await site.call("GET", f"{path}/chunks", ann)).json()] == ["new a"]
    others = (await site.call("GET", f"/projects/{project}/urls/{other}/chunks", ann)).json()
    assert [one["content"] for one in others] == ["abc"]


@pytest.mark.parametrize("status", [UrlStatus.CRAWLING, UrlStatus.ENCODING])
async def test_what_is_being_processed_is_not_reprocessed(
    site: Site, ann: User, project: str, status: UrlStatus
) -> None:
    url_id = await site.submit(ann, project, ARTICLE)
    await site.move(url_id, UrlStatus.CRAWLING)
    if status is UrlStatus.ENCODING:
        await site.move(url_id, status)
    assert_webcontent_error(await site.call("POST", f"/projects/{project}/urls/{url_id}:reprocess", ann), 409)
    assert (await site.call("GET", f"/projects/{project}/urls/{url_id}", ann)).json()["status"] == status


async def test_a_failed_url_is_reprocessed(site: Site, ann: User, project: str) -> None:
    url_id = await site.submit(ann, project, ARTICLE)
    await site.fail(url_id, "Timed out after 30 s")
    again = body_of(await site.call("POST", f"/projects/{project}/urls/{url_id}:reprocess", ann), 202)
    assert (again["status"], again["failure_reason"]) == ("pending", None)


async def test_a_url_is_found_in_its_own_project_alone(site: Site, ann: User, project: str) -> None:
    url_id = await site.submit(ann, project, ARTICLE)
    second = await site.project(ann)
    for where, which in ((second, url_id), (project, str(uuid4())), (project, "no-uuid")):
        path = f"/projects/{where}/urls/{which}"
        for method, end in (("GET", ""), ("GET", "/chunks"), ("POST", ":reprocess")):
            assert_webcontent_error(await site.call(method, path + end, ann), 404)
    assert (await site.call("GET", f"/projects/{project}/urls/{url_id}", ann)).json()["status"] == "pending"


async def test_a_project_is_shared_with_a_user_and_by_a_token(
    site: Site, ann: User, bob: User, project: str
) -> None:
    path = f"/projects/{project}/shares"
    with_bob = body_of(await site.call("POST", path, ann, json={"shared_with_user_id": bob.id}), 201)
    by_token = body_of(await site.call("POST", path, ann, json={}), 201)
    for share in (with_bob, by_token):
        assert list(share) == SHARE_FIELDS
        assert re.fullmatch(rf"projects/{project}/shares/[0-9a-f-]{{36}}", share["name"])
        assert share["project_id"] == project
        assert TIME.fullmatch(share["created_at"])
    assert (with_bob["shared_with_user_id"], with_bob["share_token"]) == (bob.id, None)
    assert by_token["shared_with_user_id"] is None
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", by_token["share_token"])
    assert body_of(await site.call("GET", path, ann), 200) == {"shares": [with_bob, by_token]}
    shared = body_of(await site.call("GET", "/users/me/shared-projects", bob), 200)
    assert shared == {
        "shared_projects": [
            {
                "name": f"projects/{project}",
                "project_name": "Research Project",
                "owner_email": "ann@example.com",
                "shared_at": with_bob["created_at"],
            }
        ]
    }
    opened = body_of(await site.call("GET", f"/shared-projects/{by_token['share_token']}"), 200)
    created_at = (await site.call("GET", f"/projects/{project}", ann)).json()["created_at"]
    assert list(opened) == ["name", "project_name", "created_at"]
    assert list(opened.values()) == [f"projects/{project}", "Research Project", created_at]


async def test_a_share_that_was_deleted_opens_nothing(site: Site, ann: User, bob: User, project: str) -> None:
    path = f"/projects/{project}/shares"
    token = (await site.call("POST", path, ann, json={})).json()["share_token"]
    await site.call("POST", path, ann, json={"shared_with_user_id": bob.id})
    for share in (await site.call("GET", path, ann)).json()["shares"]:
        deleted = await site.call("DELETE", f"{path}/{share['name'][-36:]}", ann)
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert_webcontent_error(await site.call("DELETE", f"{path}/{share['name'][-36:]}", ann), 404)
    assert_webcontent_error(await site.call("GET", f"/shared-projects/{token}"), 404)
    assert_webcontent_error(await site.call("GET", f"/projects/{project}/urls", bob), 404)
    assert (await site.call("GET", "/users/me/shared-projects", bob)).json() == {"shared_projects": []}
    # What was taken back may be given again.
    assert (await site.call("POST", path, ann, json={})).json()["share_token"] != token
    again = await site.call("POST", path, ann, json={"shared_with_user_id": bob.id})
    assert again.status_code == 201


async def test_what_cannot_be_shared_is_refused(site: Site, ann: User, bob: User, project: str) -> None:
    path = f"/projects/{project}/shares"
    for good in ({}, {"shared_with_user_id": bob.id}):
        assert (await site.call("POST", path, ann, json=good)).status_code == 201
    refused: list[tuple[dict[str, Any], int]] = [
        ({}, 409),
        ({"shared_with_user_id": None}, 409),
        ({"shared_with_user_id": bob.id}, 409),
        ({"shared_with_user_id": ann.id}, 400),
        ({"shared_with_user_id": str(uuid4())}, 404),
        ({"shared_with_user_id": "no-uuid"}, 404),
        ({"shared_with_user_id": 7}, 400),
        ({"shared_with": bob.id}, 400),
    ]
    for body, status in refused:
        assert_webcontent_error(await site.call("POST", path, ann, json=body), status)
    for share_id in (str(uuid4()), "no-uuid"):
        assert_webcontent_error(await site.call("DELETE", f"{path}/{share_id}", ann), 404)
    assert len((await site.call("GET", path, ann)).json()["shares"]) == 2


async def test_of_two_tokens_made_at_once_one_wins(site: Site, ann: User, project: str) -> None:
    path = f"/projects/{project}/shares"
    both = await asyncio.gather(*(site.call("POST", path, ann, json={}) for _ in range(2)))
    assert sorted(one.status_code for one in both) == [201, 409]


async def test_a_question_is_answered_from_several_projects_best_first(site: Site, ann: User) -> None:
    projects = [await site.project(ann, name) for name in ("one", "two", "three")]
    stored = []
    for project, contents in zip(projects, (["aab", "bbb"], ["aa", "ab"], ["a"]), strict=True):
        url_id = await site.submit(ann, project, f"{ARTICLE}#{project}")
        await site.store(url_id, *contents)
        stored.append(url_id)
    body = {"query": "a question: a", "project_ids": projects[:2], "top_k": 3}
    answer = body_of(await site.call("POST", "/projects:query", ann, json=body), 200)
    assert list(answer) == ["results"]
    results = answer["results"]
    fields = ["content", "url", "chunk_id", "project_id", "similarity_score"]
    assert [list(result) for result in results] == [fields] * 3
    assert [result["content"] for result in results] == ["aa", "aab", "ab"]
    assert [result["project_id"] for result in results] == [projects[1], projects[0], projects[1]]
    assert [result["url"] for result in results] == [
        f"{ARTICLE}#{result['project_id']}" for result in results
    ]
    assert results[0]["similarity_score"] == pytest.approx(1)
    everywhere = (await site.call("POST", "/projects:query", ann, json={"query": "a"})).json()["results"]
    assert {result["content"] for result in everywhere} == {"a", "aa", "aab", "ab", "bbb"}
    tied = everywhere[:2]
    assert tied == sorted(tied, key=lambda result: str(result["chunk_id"]))
    chunks = (await site.call("GET", f"/projects/{projects[2]}/urls/{stored[2]}/chunks", ann)).json()
    assert chunks[0]["chunk_id"] in [result["chunk_id"] for result in tied]


async def test_a_question_is_embedded_once(site: Site, ann: User) -> None:
    for _ in range(3):
        await site.project(ann)
    with patch.object(LetterEmbedder, "embed", autospec=True, side_effect=LetterEmbedder.embed) as embed:
        assert (await site.call("POST", "/projects:query", ann, json={"query": "abc"})).json() == {
            "results": []
        }
    assert embed.call_count == 1


async def test_a_question_is_asked_where_the_caller_may_read_or_nowhere(
    site: Site, ann: User, bob: User, project: str
) -> None:
    own = await site.project(bob)
    assert (await site.call("POST", "/projects:query", bob, json={"query": "a"})).json() == {"results": []}
    for ids in ([project], [own, project], [own, str(uuid4())], ["no-uuid"]):
        response = await site.call("POST", "/projects:query", bob, json={"query": "a", "project_ids": ids})
        assert_webcontent_error(response, 404)
    body = {"query": "a", "project_ids": [own.upper(), own]}
    assert (await site.call("POST", "/projects:query", bob, json=body)).status_code == 200


BAD_QUERIES = [
    {},
    {"query": ""},
    {"query": " "},
    {"query": 7},
    {"query": "zero"},
    {"query": "a", "top_k": 0},
    {"query": "a", "top_k": 101},
    {"query": "a", "top_k": "5"},
    {"query": "a", "project_ids": []},
    {"query": "a", "project_ids": "all"},
    {"query": "a", "project_ids": [str(uuid4())] * 101},
]


@pytest.mark.parametrize("body", BAD_QUERIES, ids=range(len(BAD_QUERIES)))
@pytest.mark.usefixtures("project")
async def test_a_bad_question_is_refused(site: Site, ann: User, body: dict[str, Any]) -> None:
    assert_webcontent_error(await site.call("POST", "/projects:query", ann, json=body), 400)


async def test_five_results_are_the_default(site: Site, ann: User, project: str) -> None:
    await site.store(await site.submit(ann, project, ARTICLE), *["a"] * 7)
    answer = (await site.call("POST", "/projects:query", ann, json={"query": "a"})).json()
    assert len(answer["results"]) == 5


async def test_the_model_is_described(site: Site, ann: User) -> None:
    assert body_of(await site.call("GET", "/system/transformer-model", ann), 200) == {
        "model_name": "letters-3",
        "embedding_size": 3,
        "max_sequence_length": 8,
        "chunking_strategy": "text_splitting",
        "chunk_size": 512,
        "chunk_overlap": 50,
        "configuration": {"normalize_embeddings": True},
        "version": "1",
    }


async def test_the_status_counts_what_waits(site: Site, ann: User, project: str) -> None:
    ids = [await site.submit(ann, project, f"{ARTICLE}{number}") for number in range(6)]
    for url_id in ids[2:]:
        await site.move(url_id, UrlStatus.CRAWLING)
    await site.move(ids[4], UrlStatus.ENCODING)
    await site.move(ids[5], UrlStatus.FAILED, "Blocked by robots.txt")
    status = body_of(await site.call("GET", "/system/status", ann), 200)
    load = status.pop("system_load")
    assert status == {
        "status": "healthy",
        "processing_queue": {"pending_urls": 2, "crawling_urls": 2, "encoding_urls": 1},
        "embedding_model_status": "operational",
    }
    assert list(load) == ["cpu_usage", "memory_usage", "disk_usage"]
    assert all(type(value) is int and 0 <= value <= 100 for value in load.values())


async def test_a_model_that_does_not_answer_degrades_the_status(site: Site, ann: User) -> None:
    with patch.object(LetterEmbedder, "embed", side_effect=Unavailable("The embedder is gone.")) as embed:
        for _ in range(3):
            status = body_of(await site.call("GET", "/system/status", ann), 200)
            assert (status["status"], status["embedding_model_status"]) == ("degraded", "unavailable")
        assert embed.call_count == 1


async def test_a_project_that_cannot_be_made_leaves_nothing(site: Site, ann: User, engine: Engine) -> None:
    with patch.object(engine, "create", side_effect=ShardUnavailable("No host.")):
        response = await site.call("POST", "/projects", ann, json={"project_name": "p"})
    assert_webcontent_error(response, 503)
    assert (await site.call("GET", "/projects", ann)).json() == []
    assert await site.services.catalog.unfinished() == []


async def test_a_deletion_that_was_interrupted_is_finished_at_the_next_start(
    site: Site, ann: User, project: str, engine: Engine, open_services: Open
) -> None:
    url_id = await site.submit(ann, project, ARTICLE)
    await site.store(url_id, "abc")
    await site.call("POST", f"/projects/{project}/shares", ann, json={})
    collection = await site.services.catalog.of_project(project)
    assert collection is not None
    with patch.object(engine, "drop", side_effect=ShardUnavailable("No host.")):
        assert (await site.call("DELETE", f"/projects/{project}", ann)).status_code == 204
    assert_webcontent_error(await site.call("GET", f"/projects/{project}", ann), 404)
    assert [one.id for one, _ in await site.services.catalog.unfinished()] == [collection.id]
    assert await site.services.project_urls.urls.find([url_id]) != {}
    again = await open_services()
    assert await again.catalog.unfinished() == []
    assert await again.project_urls.urls.find([url_id]) == {}
    assert await again.project_shares.shares.of_project(project) == []
    await close_beside(again)


async def test_a_creation_that_was_interrupted_is_finished_at_the_next_start(
    site: Site, ann: User, open_services: Open
) -> None:
    await site.call("GET", "/projects", ann)
    with (
        patch.object(Catalog, "finish_create", side_effect=RuntimeError),
        patch.object(Catalog, "begin_drop", return_value=False),
    ):
        response = await site.call("POST", "/projects", ann, json={"project_name": "p"})
    assert_webcontent_error(response, 500)
    assert (await site.call("GET", "/projects", ann)).json() == []
    again = await open_services()
    [made] = (await site.call("GET", "/projects", ann)).json()
    assert made["project_name"] == "p"
    await close_beside(again)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/projects/x/nothing", 404),
        ("GET", "/users", 405),
        ("GET", "/users/you", 404),
        ("DELETE", "/projects", 405),
        ("GET", "/projects:query", 405),
        ("POST", "/projects:count", 404),
        ("GET", "/system", 404),
        ("POST", "/auth/none", 404),
        ("GET", "/shared-projects/x", 404),
        ("GET", "/shared-projects", 404),
    ],
)
async def test_what_the_family_does_not_have_is_refused_in_its_envelope(
    site: Site, method: str, path: str, status: int
) -> None:
    assert_webcontent_error(await site.call(method, path), status)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b'{"project_name": 1}'])
async def test_a_body_that_is_no_project_is_refused(site: Site, ann: User, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await site.call("POST", "/projects", ann, content=body, headers=headers)
    assert_webcontent_error(response, 400)


async def test_a_crash_is_answered_in_the_familys_envelope(site: Site, ann: User, engine: Engine) -> None:
    with patch.object(engine, "search", side_effect=RuntimeError("secret")):
        await site.project(ann)
        assert_webcontent_error(await site.call("POST", "/projects:query", ann, json={"query": "a"}), 500)
