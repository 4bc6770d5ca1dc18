"""The ingestion pipeline on a real Ray: folders, pages and tables, and runs that are cut short."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cluster.server_file import ServerFile

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"
# A busy machine takes long to start the workers.
RUN_S = 240
pytestmark = pytest.mark.timeout(3 * RUN_S)


@dataclass(frozen=True)
class Ingestions:
    """Runs into one collection.

    Attributes:
        folder: For the files of the tests.
    """

    server: ServerFile
    client: httpx.Client
    collection: str
    collection_id: str
    folder: Path

    def start(self, source: str | Path, *options: str) -> "subprocess.Popen[str]":
        """Start a run; its progress is in ``progress.json``."""
        (self.folder / "progress.json").unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "pipelines.run", str(source), *options]
        command += ["--collection-id", self.collection_id, "--data-dir", self.server.data_dir]
        command += ["--report", str(self.report), "--progress", str(self.folder / "progress.json")]
        # The tests have joined Ray themselves; the child reads its own environment.
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
        )

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    def finish(self, process: "subprocess.Popen[str]") -> dict[str, Any]:
        """Wait for a run that must succeed; its report."""
        _, err = process.communicate(timeout=RUN_S)
        assert process.returncode == 0, err
        report: dict[str, Any] = json.loads(self.report.read_text())
        return report

    def __call__(self, source: str | Path, *options: str) -> dict[str, Any]:
        """Run to the end."""
        return self.finish(self.start(source, *options))

    def wait_until(self, reached: Callable[[dict[str, int]], bool]) -> None:
        """Wait until a run's counts are so."""
        deadline_s = time.monotonic() + RUN_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(FileNotFoundError):
                if reached(json.loads((self.folder / "progress.json").read_text())):
                    return
            time.sleep(0.05)
        pytest.fail("the run does not get so far")

    def count(self) -> int:
        """How many points the collection has."""
        found = self.client.get(f"/api/v1/collections/{self.collection}").json()
        return int(found["vector_count"])

    def top(self, text: str) -> dict[str, Any]:
        """The payload of the best hit."""
        question = {"text": text, "top_k": 1}
        answer = self.client.post(f"/api/collections/{self.collection_id}/query", json=question).json()
        payload: dict[str, Any] = answer["results"][0]["metadata"]
        return payload


@pytest.fixture
def client(server: ServerFile) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.api_url, trust_env=False, timeout=60) as client:
        yield client


def make_collection(client: httpx.Client, name: str, dimension: int) -> str:
    body = {"name": name, "dimension": dimension, "metric": "cosine"}
    assert client.post("/api/v1/collections", json=body).status_code == 201
    items = client.get("/api/collections").json()["items"]
    return str(next(item["id"] for item in items if item["name"] == name))


@pytest.fixture
def ingest(
    server: ServerFile, client: httpx.Client, tmp_path: Path, request: pytest.FixtureRequest
) -> Ingestions:
    name = f"ingest-{abs(hash(request.node.name)) % 10**8}"
    return Ingestions(server, client, name, make_collection(client, name, 384), tmp_path)


@pytest.fixture
def many_documents(tmp_path: Path) -> Path:
    """300 documents, the tenth of 30 chunks and the others of one."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        text = f"Document {number} is about subject {number}."
        if number % 10 == 0:
            text = "\n\n".join(f"{text} Part {part}. " + "word " * 90 for part in range(30))
        (folder / f"{number:03}.txt").write_text(text)
    return folder


def test_a_folder_becomes_searchable_and_a_second_run_changes_nothing(ingest: Ingestions) -> None:
    report = ingest(CORPUS)
    assert report["documents"] == len(list(CORPUS.iterdir()))
    assert [item["source"] for item in report["failed"]] == ["damaged-report.pdf"]
    assert report["chunks_written"] > 20
    hit = ingest.top("What happens to my data if the power fails right after a write?")
    assert hit["source"] == "write-ahead-log.txt"
    assert ingest.count() == report["chunks_written"]

    again = ingest(CORPUS)
    assert (again["chunks_written"], again["chunks_removed"]) == (0, 0)
    assert again["chunks_unchanged"] == report["chunks_written"]
    assert ingest.count() == report["chunks_written"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The URL of a site that serves ``tmp_path``/site."""
    (tmp_path / "site").mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


def test_pages_of_a_list_are_fetched_and_stored_under_their_urls(
    ingest: Ingestions, site: str, tmp_path: Path
) -> None:
    for name in ("comets", "rivers"):
        page = f"<html><title>{name}</title><main><p>Everything about {name}.</p></main></html>"
        (tmp_path / "site" / f"{name}.html").write_text(page)
    urls = tmp_path / "urls.txt"
    urls.write_text(f"# two and one\n{site}/comets.html\n{site}/gone.html\n{site}/rivers.html\n")
    report = ingest(urls, "--urls")
    assert (report["documents"], report["chunks_written"]) == (3, 2)
    assert report["failed"] == [{"source": f"{site}/gone.html", "reason": "Page not found (404)."}]
    assert ingest.top("Everything about rivers.")["source"] == f"{site}/rivers.html"


def test_rows_of_a_table_are_documents(ingest: Ingestions, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("id,body,year\na,About comets.,1986\nb,,1990\nc,About rivers.,2001\n")
    report = ingest(table, "--text-column", "body", "--id-column", "id")
    assert (report["documents"], report["chunks_written"]) == (3, 2)
    assert [item["source"] for item in report["failed"]] == ["table.csv#2"]
    assert ingest.top("About rivers.")["metadata"] == {"year": "2001"}


def test_a_run_whose_driver_is_killed_is_completed_by_the_next(
    ingest: Ingestions, many_documents: Path
) -> None:
    process = ingest.start(many_documents)
    ingest.wait_until(lambda counts: counts.get("stored", 0) > 0)
    process.kill()
    process.communicate()
    report = ingest(many_documents)
    assert (report["documents"], report["documents_failed"]) == (300, 0)
    assert report["chunks_unchanged"] > 0
    again = ingest(many_documents)
    assert (again["chunks_written"], again["chunks_removed"]) == (0, 0)
    assert (
        ingest.count() == again["chunks_unchanged"] == report["chunks_written"] + report["chunks_unchanged"]
    )


def test_a_run_whose_workers_are_killed_stores_every_document_once(
    ingest: Ingestions, many_documents: Path
) -> None:
    process = ingest.start(many_documents)
    ingest.wait_until(lambda counts: counts.get("stored", 0) > 0)
    killed = [worker for worker in workers(ingest.server) if kill(worker)]
    assert killed
    report = ingest.finish(process)
    assert (report["documents"], report["documents_failed"]) == (300, 0)
    again = ingest(many_documents)
    assert (again["documents"], again["chunks_written"], again["chunks_removed"]) == (300, 0, 0)
    assert ingest.count() == again["chunks_unchanged"]


def workers(server: ServerFile) -> list[psutil.Process]:
    """Those of the server's processes that work for Ray Data, by the names that Ray gives them."""
    found = []
    for process in psutil.Process(server.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            name = " ".join(process.cmdline())
            if name.startswith("ray::") and "Map" in name:
                found.append(process)
    return found


def kill(process: psutil.Process) -> bool:
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return True


def test_a_collection_of_another_dimension_is_refused_before_any_work(
    server: ServerFile, client: httpx.Client, tmp_path: Path
) -> None:
    ingest = Ingestions(server, client, "small", make_collection(client, "small", 3), tmp_path)
    with ingest.start(CORPUS) as process:
        _, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 2
    assert err.strip().endswith("has no embedding model, so it takes vectors, not documents.")
    assert not ingest.report.exists()


def test_a_path_that_is_not_there_is_one_clear_sentence(ingest: Ingestions, tmp_path: Path) -> None:
    with ingest.start(tmp_path / "missing") as process:
        _, err = process.communicate(timeout=RUN_S)
    assert process.returncode == 2
    assert err.strip() == f"There is no file or folder '{tmp_path / 'missing'}'."
