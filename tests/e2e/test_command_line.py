"""A server started, used, killed and stopped by the command a user types."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.server_file import ServerFile
from tests.e2e.command import vectoray
from tests.e2e.ports import free_port

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"

pytestmark = pytest.mark.timeout(300)


def living(family: list[psutil.Process]) -> list[int]:
    """Those that still run; a zombie only waits for its new parent to take note."""
    _, left = psutil.wait_procs([process for process in family if _runs(process)], timeout=1)
    return [process.pid for process in left if _runs(process)]


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder on which a server runs; whatever a test left running is stopped at the end."""
    folder = tmp_path_factory.mktemp("e2e") / "data"
    done = vectoray("up", "--detach", "--data-dir", folder, "--port", free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder
    vectoray("down", "--data-dir", folder)


@pytest.fixture
def client(data_dir: Path) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=ServerFile.read(data_dir).api_url, trust_env=False) as client:
        yield client


def test_the_documents_workflow_gives_the_documented_answers(client: httpx.Client) -> None:
    health = client.get("/api/v1/health").json()
    assert health.keys() == {"status", "version", "uptime", "collections", "total_vectors"}
    assert health["status"] == "healthy"
    made = client.post(
        "/api/v1/collections", json={"name": "documents", "dimension": 384, "metric": "cosine"}
    )
    assert made.json() == {"message": "Collection created successfully", "collection": "documents"}
    vector = [(number % 7) / 7 + 0.1 for number in range(384)]
    inserted = client.post(
        "/api/v1/collections/documents/vectors",
        json={"vectors": [{"id": "doc1", "vector": vector, "payload": {"title": "Example Document"}}]},
    )
    assert inserted.json() == {"message": "Vectors inserted successfully", "inserted": 1}
    found = client.post("/api/v1/collections/documents/search", json={"vector": vector, "limit": 5}).json()
    assert [(hit["id"], hit["payload"]) for hit in found["results"]] == [
        ("doc1", {"title": "Example Document"})
    ]
    assert found["results"][0]["score"] == pytest.approx(1.0)
    assert found["results"][0]["vector"] == pytest.approx(vector)
    assert found["query_time_ms"] > 0


def test_the_docs_page_and_the_dashboard_answer(data_dir: Path, client: httpx.Client) -> None:
    assert "swagger" in client.get("/docs", follow_redirects=True).text.lower()
    dashboard_url = ServerFile.read(data_dir).dashboard_url
    assert dashboard_url is not None
    assert httpx.get(dashboard_url, trust_env=False).status_code == 200
    # Nobody without Ray's token learns anything from it, or runs anything on it.
    assert httpx.get(f"{dashboard_url}/api/jobs/", trust_env=False).status_code == 401


def test_status_tells_where_the_server_is(data_dir: Path) -> None:
    done = vectoray("status", "--data-dir", data_dir, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["server"]["api_url"] == ServerFile.read(data_dir).api_url


def test_ingest_and_search_find_the_answer_and_name_the_bad_file(data_dir: Path) -> None:
    done = vectoray("ingest", CORPUS, "--collection", "corpus", "--data-dir", data_dir)
    assert done.returncode == 0, done.stderr
    assert "damaged-report.pdf: The PDF is damaged: no page could be read." in done.stdout
    found = vectoray(
        "search", "corpus", "Somebody published our secret key, what now?", "--data-dir", data_dir
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[1].strip() == "access-keys.md"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--host", "0.0.0.0"], "is not a loopback address"),
        (["--data-dir", "/proc/nowhere"], "cannot be written"),
        (["--config", str(CORPUS / "damaged-report.pdf")], "is not valid YAML"),
    ],
)
def test_a_mistake_at_the_start_is_told_in_one_sentence(
    tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    done = vectoray("up", "--data-dir", tmp_path, "--port", free_port(), *arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_a_busy_port_and_a_busy_data_folder_are_refused(data_dir: Path, tmp_path: Path) -> None:
    port = httpx.URL(ServerFile.read(data_dir).api_url).port
    busy = vectoray("up", "--data-dir", tmp_path, "--port", port)
    assert (busy.returncode, f"Port {port} on 127.0.0.1 cannot be used" in busy.stderr) == (2, True)
    again = vectoray("up", "--data-dir", data_dir, "--port", free_port())
    assert again.returncode != 0
    assert "runs" in again.stderr or "uses the data folder" in again.stderr


def test_after_kill_9_of_the_server_down_cleans_up_and_a_new_one_has_every_answered_insert(
    data_dir: Path, client: httpx.Client
) -> None:
    client.post("/api/v1/collections", json={"name": "ledger", "dimension": 2, "metric": "dotproduct"})
    answered = []
    for number in range(50):
        body = {"vectors": [{"id": f"p{number}", "vector": [number, 1]}]}
        assert client.post("/api/v1/collections/ledger/vectors", json=body).status_code == 201
        answered.append(f"p{number}")
    server = psutil.Process(ServerFile.read(data_dir).pid)
    family = [server, *server.children(recursive=True)]
    os.kill(server.pid, signal.SIGKILL)
    # Everything that holds data ends at once, by itself; two agents of Ray take up to a minute.
    _, left = psutil.wait_procs(family, timeout=10)
    assert all("Agent" in process.name() for process in left)
    assert vectoray("down", "--data-dir", data_dir).returncode == 0
    assert living(family) == []

    done = vectoray("up", "--detach", "--data-dir", data_dir, "--port", free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    with httpx.Client(base_url=ServerFile.read(data_dir).api_url, trust_env=False) as fresh:
        missing = [
            point_id
            for point_id in answered
            if fresh.get(f"/api/v1/collections/ledger/vectors/{point_id}").status_code != 200
        ]
    assert missing == []


def test_down_leaves_no_process_and_no_lock(data_dir: Path) -> None:
    running = ServerFile.read(data_dir)
    family = psutil.Process(running.pid).children(recursive=True)
    done = vectoray("down", "--data-dir", data_dir)
    assert done.returncode == 0, done.stderr
    assert living(family) == []
    assert not (data_dir / "run" / "server.json").exists()
    assert vectoray("status", "--data-dir", data_dir).returncode == 1
    assert vectoray("down", "--data-dir", data_dir).returncode == 0
    # Nobody holds the folder any more: another server may use it.
    assert list((data_dir / "collections").rglob("LOCK"))
    again = vectoray("up", "--detach", "--data-dir", data_dir, "--port", free_port())
    assert again.returncode == 0, again.stderr
