"""The ingestion pipeline on a real Ray, on the example documents."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.server_file import ServerFile

CORPUS = Path(__file__).parents[2] / "examples" / "corpus"


def ingest(
    path: Path, collection_id: str, server: ServerFile, report: Path
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "pipelines.run", str(path), "--collection-id", collection_id]
    command += ["--data-dir", server.data_dir, "--report", str(report)]
    # The tests have joined Ray themselves; the child reads its own environment.
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=110, env={**os.environ}
    )


@pytest.fixture
def client(server: ServerFile) -> Any:
    with httpx.Client(base_url=server.api_url, trust_env=False) as client:
        yield client


def make_collection(client: httpx.Client, name: str, dimension: int) -> str:
    body = {"name": name, "dimension": dimension, "metric": "cosine"}
    assert client.post("/api/v1/collections", json=body).status_code == 201
    items = client.get("/api/collections").json()["items"]
    return str(next(item["id"] for item in items if item["name"] == name))


def test_a_folder_becomes_searchable_and_a_second_run_changes_nothing(
    server: ServerFile, client: httpx.Client, tmp_path: Path
) -> None:
    collection_id = make_collection(client, "corpus", 384)
    first = ingest(CORPUS, collection_id, server, tmp_path / "report.json")
    assert first.returncode == 0, first.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["documents"] == len(list(CORPUS.iterdir()))
    assert [item["source"] for item in report["failed"]] == ["damaged-report.pdf"]
    assert report["chunks_written"] > 20

    question = {"text": "What happens to my data if the power fails right after a write?", "top_k": 1}
    answer = client.post(f"/api/collections/{collection_id}/query", json=question).json()
    assert answer["results"][0]["metadata"]["source"] == "write-ahead-log.txt"
    before = client.get("/api/v1/collections/corpus").json()
    assert before["vector_count"] == report["chunks_written"]

    second = ingest(CORPUS, collection_id, server, tmp_path / "again.json")
    assert second.returncode == 0, second.stderr
    again = json.loads((tmp_path / "again.json").read_text())
    assert (again["chunks_written"], again["chunks_removed"]) == (0, 0)
    assert again["chunks_unchanged"] == report["chunks_written"]
    assert client.get("/api/v1/collections/corpus").json() == before


def test_a_collection_of_another_dimension_is_refused_before_any_work(
    server: ServerFile, client: httpx.Client, tmp_path: Path
) -> None:
    collection_id = make_collection(client, "small", 3)
    done = ingest(CORPUS, collection_id, server, tmp_path / "report.json")
    assert done.returncode == 2
    assert done.stderr.strip().endswith("has no embedding model, so it takes vectors, not documents.")
    assert not (tmp_path / "report.json").exists()


def test_a_path_that_is_not_there_is_one_clear_sentence(
    server: ServerFile, client: httpx.Client, tmp_path: Path
) -> None:
    collection_id = make_collection(client, "unused", 384)
    done = ingest(tmp_path / "missing", collection_id, server, tmp_path / "report.json")
    assert done.returncode == 2
    assert done.stderr.strip() == f"There is no file or folder '{tmp_path / 'missing'}'."
