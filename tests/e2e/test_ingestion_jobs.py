"""Uploads and web pages through the whole server: quickly searchable, stored once whatever is killed."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from scripts.transcripts.site import Site, serving
from tests.e2e.command import vectoray
from tests.e2e.conftest import RunningServer
from tests.e2e.ports import free_port

pytestmark = pytest.mark.timeout(400)

SETTINGS: dict[str, Any] = {
    "jobs": {"lease_s": 3, "batch_chunks": 4},
    # So that a file takes its time whenever it comes.
    "embed_threads": 1,
    "embed_cache_bytes": 0,
    "fetch": {"allow_hosts": ["127.0.0.1"]},
}
LONG = "".join(
    f"Paragraph {number:05} tells of the river {number:05} and of the towns that lie along its banks.\n\n"
    for number in range(1500)
)
ENDED = ("completed", "failed", "cancelled")
WITHIN_S = 240


class Api:
    """The Vectory API of the server, and what is needed to start it again."""

    def __init__(self, server: RunningServer, port: int) -> None:
        self.server = server
        self._port = port
        self.collection = ""
        self._headers: dict[str, str] = {}

    def up(self) -> None:
        options = ("--data-dir", self.server.data_dir, "--config", self.server.config, "--port", self._port)
        done = vectoray("up", "--detach", *options)
        assert done.returncode == 0, done.stdout + done.stderr

    def call(self, verb: str, path: str, **options: Any) -> httpx.Response:
        url = f"{self.server.file.api_url}{path}"
        return httpx.request(verb, url, headers=self._headers, trust_env=False, timeout=30, **options)

    def sign_in(self) -> None:
        account = {"email": "ann@example.com", "password": "correct horse battery", "name": "Ann"}
        assert self.call("POST", "/api/auth/register", json=account).status_code == 201
        tokens = self.call("POST", "/api/auth/login", json=account).json()
        self._headers = {"Authorization": f"Bearer {tokens['access_token']}"}

    def make_collection(self) -> None:
        body = {"name": "docs", "dimension": 384, "metric": "cosine"}
        assert self.call("POST", "/api/v1/collections", json=body).status_code == 201
        self.collection = self.call("GET", "/api/collections").json()["items"][0]["id"]

    def begin(self, content: str, name: str = "notes.txt", **config: Any) -> str:
        """The id of a new job."""
        form = {"collection_id": self.collection}
        sent = self.call("POST", "/api/ingestion/upload", files={"file": (name, content)}, data=form)
        body = {**sent.json(), "config": config}
        created = self.call("POST", "/api/ingestion/jobs", params=form, json=body)
        assert created.status_code == 201, created.text
        return str(created.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/api/ingestion/jobs/{job_id}").json()
        return found

    def wait(self, job_id: str, *, chunks: int | None = None) -> dict[str, Any]:
        """The job when so many chunks are stored, or when it has ended."""
        until_s = time.monotonic() + WITHIN_S
        while time.monotonic() < until_s:
            job = self.job(job_id)
            if job["status"] in ENDED or (chunks is not None and job["processed_chunks"] >= chunks):
                return job
            time.sleep(0.05)
        pytest.fail(f"The job does not come to its end: {self.job(job_id)}")

    def stored(self, job_id: str) -> list[int]:
        """The chunks of a job that are stored, by their places."""
        found: list[int] = []
        total, skip = 1, 0
        while skip < total:
            path = f"/api/ingestion/jobs/{job_id}/vectors"
            page = self.call("GET", path, params={"skip": skip, "limit": 1000}).json()
            total, skip = page["total"], skip + 1000
            found += [item["chunk_index"] for item in page["items"]]
        return found

    def count(self) -> int:
        """Vectors in the collection."""
        return int(self.call("GET", "/api/v1/collections/docs").json()["vector_count"])


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder: Path = tmp_path_factory.mktemp("ingesting")
    server = RunningServer(folder / "data", folder / "config.yaml")
    server.change("pipelines", **SETTINGS)
    found = Api(server, free_port())
    found.up()
    found.sign_in()
    found.make_collection()
    yield found
    vectoray("down", "--data-dir", server.data_dir)


def test_an_uploaded_file_is_followed_to_its_end_and_found(api: Api) -> None:
    job_id = api.begin("The harbour master of Vigo counts the gulls each morning.", "harbour.md")
    # The stream ends with the job.
    stream = api.call("GET", f"/api/ingestion/jobs/{job_id}/progress").text
    told = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]
    assert (told[-1]["status"], told[-1]["processed_chunks"]) == ("completed", 1)
    question = {"text": "Who counts the birds at the port?", "top_k": 1}
    [hit] = api.call("POST", f"/api/collections/{api.collection}/query", json=question).json()["results"]
    assert hit["text_content"].startswith("The harbour master")
    [item] = api.call("GET", f"/api/ingestion/jobs/{job_id}/vectors").json()["items"]
    assert (item["source_file"], item["chunk_index"]) == ("harbour.md", 0)


def test_a_cancelled_job_is_gone_within_three_seconds(api: Api) -> None:
    before = api.count()
    job_id = api.begin(LONG, chunk_size=200, chunk_overlap=0)
    api.wait(job_id, chunks=1)
    assert api.call("DELETE", f"/api/ingestion/jobs/{job_id}").status_code == 204
    cancelled_s = time.monotonic()
    while api.count() != before or api.stored(job_id):
        assert time.monotonic() - cancelled_s < 3
        time.sleep(0.05)
    # Nothing comes after.
    time.sleep(1)
    assert (api.count(), api.job(job_id)["status"]) == (before, "cancelled")


PAGES = {
    f"/{bird}.html": f"<html><title>{bird}</title><body><main><p>The {bird} {does}.</p></main></body></html>"
    for bird, does in {
        "kestrel": "hovers above the meadow and looks for voles",
        "heron": "stands still in shallow water and waits for fish",
        "swift": "sleeps on the wing, and hardly ever lands",
    }.items()
}
REFUSED = {
    "/lost.html": "Page not found (404).",
    "/private/diary.html": "Blocked by robots.txt.",
    "http://10.1.2.3/secrets": "does not lead to a public address",
}
IN_ORDER = ["pending", "crawling", "encoding", "stored"]


def crawled(api: Api, project: str, ids: list[str]) -> dict[str, list[dict[str, Any]]]:
    """What each URL said of itself when it changed, until all have come to an end."""
    seen: dict[str, list[dict[str, Any]]] = {url_id: [] for url_id in ids}
    until_s = time.monotonic() + 60
    while any(not told or told[-1]["status"] not in ("stored", "failed") for told in seen.values()):
        assert time.monotonic() < until_s, seen
        for url in api.call("GET", f"/api/v1/projects/{project}/urls").json():
            if not seen[url["url_id"]] or seen[url["url_id"]][-1]["status"] != url["status"]:
                seen[url["url_id"]].append(url)
        time.sleep(0.02)
    return seen


def test_the_pages_of_a_site_are_crawled_and_an_unchanged_one_is_not_sent_again(api: Api) -> None:
    site = Site(PAGES)
    with serving(site):
        project = api.call("POST", "/api/v1/projects", json={"project_name": "Birds"}).json()["project_id"]
        path = f"/api/v1/projects/{project}/urls"
        urls = [site.url(page) for page in PAGES]
        bad = [url if url.startswith("http") else site.url(url) for url in REFUSED]
        ids = [api.call("POST", path, json={"original_url": url}).json()["url_id"] for url in (*urls, *bad)]
        seen = crawled(api, project, ids)
        for url_id in ids[: len(urls)]:
            statuses = [told["status"] for told in seen[url_id]]
            assert statuses == [status for status in IN_ORDER if status in statuses]
            assert statuses[-1] == "stored"
        for url_id, reason in zip(ids[len(urls) :], REFUSED.values(), strict=True):
            assert seen[url_id][-1]["status"] == "failed"
            assert reason in seen[url_id][-1]["failure_reason"]
            assert "10.1.2.3" not in seen[url_id][-1]["failure_reason"]
        assert ("/private/diary.html", 200) not in site.asked
        question = {"query": "Which bird rests while it flies?", "project_ids": [project], "top_k": 1}
        [hit] = api.call("POST", "/api/v1/projects:query", json=question).json()["results"]
        assert hit["content"] == "The swift sleeps on the wing, and hardly ever lands."
        site.pages["/heron.html"] = site.pages["/heron.html"].replace("fish", "newts and fish")
        site.asked.clear()
        for url_id in ids[: len(urls)]:
            api.call("POST", f"{path}/{url_id}:reprocess")
        crawled(api, project, ids)
        assert sorted(status for page, status in site.asked if page in PAGES) == [200, 304, 304]
        [chunk] = api.call("GET", f"{path}/{ids[1]}/chunks").json()
        assert "newts" in chunk["content"]


def killed(api: Api, *, only: str | None) -> None:
    """Kill processes of the server, all or those that Ray calls ``only``, as the kernel would for memory."""
    victims = [
        process for process in api.server.processes() if only is None or only in "".join(process.cmdline())
    ]
    assert victims
    for process in victims:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    psutil.wait_procs(victims, timeout=20)


@pytest.mark.parametrize("what", ["ingestor", "server"])
def test_a_job_goes_on_after_a_kill_and_stores_each_chunk_once(api: Api, what: str) -> None:
    before = api.count()
    job_id = api.begin(LONG, chunk_size=200, chunk_overlap=0)
    half = api.wait(job_id, chunks=20)
    assert half["status"] == "processing"
    killed(api, only="ServeReplica:ingestor" if what == "ingestor" else None)
    if what == "server":
        api.up()
    done = api.wait(job_id)
    assert (done["status"], done["error_message"]) == ("completed", None)
    assert done["started_at"] == half["started_at"]
    total = done["total_chunks"]
    assert half["processed_chunks"] < done["processed_chunks"] == total
    assert api.stored(job_id) == list(range(total))
    assert api.count() == before + total
