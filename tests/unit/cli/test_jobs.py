"""`jobs` and `explain`, beside a server that gives prepared answers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner, Result

import vectoray.cli.jobs
from vectoray.cli.main import app

JOB_ID = "4c6e8a0b-2d4f-4681-9a3c-5e7f90b1d2c3"
COLLECTION_ID = "0b7e6a3c-6f0e-4f0e-9a53-2f7d3a1c0001"
TIME = "2026-01-01T10:00:00.000Z"
EXPLAINED = {
    "collection_id": COLLECTION_ID,
    "source": "notes.md",
    "documents": [
        {
            "source": "notes.md",
            "job_id": JOB_ID,
            "status": "failed",
            "tries": 2,
            "worker": None,
            "chunks": 3,
            "steps": [
                {"step": "listed", "answer": "yes", "reason": "A job is for it.", "at": TIME},
                {"step": "parsed", "answer": "no", "reason": "\x1b[31mThe file is damaged.", "at": None},
            ],
            "shards": [{"shard": 1, "chunks": 2, "newest_sequence": 7, "updated_at": TIME}],
        }
    ],
}


def job(status: str, *, done: int = 0, error: str | None = None) -> dict[str, Any]:
    return {
        "id": JOB_ID,
        "collection_id": COLLECTION_ID,
        "status": status,
        "file_name": "notes.md",
        "file_size": 11,
        "total_chunks": 4,
        "processed_chunks": done,
        "failed_chunks": 0,
        "error_message": error,
        "created_at": TIME,
        "started_at": TIME,
        "completed_at": None,
    }


class PreparedServer:
    """Answers each request with the next of its answers, and then again and again with the last."""

    def __init__(self) -> None:
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[str] = []
        self.keys: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def respond(self) -> None:
                outer.asked.append(f"{self.command} {self.path}")
                outer.keys.append(self.headers["X-API-Key"])
                prepared = outer.answers.get(f"{self.command} {urlsplit(self.path).path}", [])
                status, body = prepared[0] if prepared else (404, {"detail": "Not there."})
                if len(prepared) > 1:
                    prepared.pop(0)
                data = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = respond  # noqa: N815  (names of the base class)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def __call__(self, *arguments: str, env: dict[str, str] | None = None) -> Result:
        url = f"http://127.0.0.1:{self.http.server_port}"
        return CliRunner().invoke(app, [*arguments, "--url", url], env=env, catch_exceptions=False)

    def says(self, request: str, *answers: Any, status: int = 200) -> None:
        self.answers[request] = [(status, answer) for answer in answers]

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PreparedServer]:
    monkeypatch.setattr(vectoray.cli.jobs, "_POLL_S", 0.0)
    prepared = PreparedServer()
    prepared.says(f"GET /api/collections/{COLLECTION_ID}/explain", EXPLAINED)
    yield prepared
    prepared.close()


def test_jobs_are_listed_with_what_went_wrong(server: PreparedServer) -> None:
    items = [job("failed", error="The file is damaged."), job("completed", done=4)]
    server.says("GET /api/ingestion/jobs", {"items": items, "total": 5})
    listed = server("jobs", "list", "--status", "failed", "--limit", "2")
    assert listed.exit_code == 0
    assert parse_qs(urlsplit(server.asked[0]).query) == {"limit": ["2"], "status_filter": ["failed"]}
    lines = listed.stdout.splitlines()
    assert lines[0].split() == [JOB_ID, "failed", "0", "of", "4", "notes.md"]
    assert lines[1].strip() == "The file is damaged."
    assert lines[3] == "3 more; see --limit."


def test_a_job_is_shown_with_the_steps_of_its_document(server: PreparedServer) -> None:
    server.says(f"GET /api/ingestion/jobs/{JOB_ID}", job("failed", error="The file is damaged."))
    shown = server("jobs", "show", JOB_ID)
    assert shown.exit_code == 0
    assert "state     failed: The file is damaged.\n" in shown.stdout
    assert "tries     2\n" in shown.stdout
    assert "  listed      yes      A job is for it. (2026-01-01T10:00:00Z)\n" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "  shard 1     2 chunks, the last at sequence 7 (2026-01-01T10:00:00Z)\n" in shown.stdout


@pytest.mark.parametrize(("status", "exit_code"), [("completed", 0), ("failed", 1), ("cancelled", 1)])
def test_a_job_is_followed_to_its_end(server: PreparedServer, status: str, exit_code: int) -> None:
    stages = job("pending"), job("processing", done=2), job(status, done=4)
    server.says(f"GET /api/ingestion/jobs/{JOB_ID}", *stages)
    followed = server("jobs", "show", JOB_ID, "--follow", "--json")
    assert followed.exit_code == exit_code
    told = json.loads(followed.stdout)
    assert told["job"]["status"] == status
    assert told["documents"][0]["steps"][0]["name"] == "listed"


def test_a_job_that_waits_for_nobody_is_not_followed(server: PreparedServer) -> None:
    server.says(f"GET /api/ingestion/jobs/{JOB_ID}", job("pending", error="No ingestor is running."))
    followed = server("jobs", "show", JOB_ID, "--follow")
    assert (followed.exit_code, followed.stdout, followed.stderr) == (1, "", "No ingestor is running.\n")


def test_a_job_is_cancelled_and_retried_with_a_key(server: PreparedServer) -> None:
    server.says(f"DELETE /api/ingestion/jobs/{JOB_ID}", None, status=204)
    server.says(f"POST /api/ingestion/jobs/{JOB_ID}/retry", job("pending"))
    cancelled = server("jobs", "cancel", JOB_ID, "--api-key", "a")
    assert (cancelled.exit_code, cancelled.stdout) == (0, f"Job {JOB_ID} is cancelled.\n")
    retried = server("jobs", "retry", JOB_ID, env={"VECTORAY_API_KEY": "b"})
    assert (retried.exit_code, retried.stdout) == (0, f"Job {JOB_ID} is pending.\n")
    assert server.keys == ["a", "b"]


@pytest.mark.parametrize(("status", "exit_code"), [(409, 2), (404, 2), (401, 1)])
def test_a_refusal_is_the_servers_sentence(server: PreparedServer, status: int, exit_code: int) -> None:
    server.says(f"POST /api/ingestion/jobs/{JOB_ID}/retry", {"detail": "It cannot be."}, status=status)
    refused = server("jobs", "retry", JOB_ID)
    assert (refused.exit_code, refused.stderr) == (exit_code, "It cannot be.\n")


@pytest.mark.parametrize("told", ["../../keys", "x"])
def test_what_is_no_jobs_id_is_not_sent(server: PreparedServer, told: str) -> None:
    refused = server("jobs", "cancel", told)
    assert (refused.exit_code, refused.stderr) == (2, f"Ingestion job '{told}' does not exist.\n")
    assert server.asked == []


def test_a_file_of_this_machine_is_explained_by_its_uri_too(server: PreparedServer, tmp_path: Path) -> None:
    item = {
        "id": COLLECTION_ID,
        "name": "docs",
        "dimension": 3,
        "distance_metric": "cosine",
        "embedding_model": None,
        "vector_count": 0,
    }
    server.says("GET /api/collections", {"items": [item], "total": 1})
    file = tmp_path / "notes.md"
    file.touch()
    explained = server("explain", str(file), "--collection", "docs")
    assert explained.exit_code == 0
    query = parse_qs(urlsplit(server.asked[-1]).query)
    assert query == {"source": [str(file)], "uri": [file.as_uri()]}
    assert explained.stdout.startswith(f"notes.md: not found, or not all of it, job {JOB_ID} failed\n")


def test_of_a_job_the_collection_is_known(server: PreparedServer) -> None:
    server.says(f"GET /api/ingestion/jobs/{JOB_ID}", job("completed"))
    explained = server("explain", JOB_ID, "--json")
    assert json.loads(explained.stdout)[0]["job_id"] == JOB_ID
    refused = server("explain", "notes.md")
    assert refused.exit_code == 2
    assert "--collection" in refused.stderr
