"""The metrics that a running server exports are those in the documents, and they count what happens."""

import re
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import RunningServer
from tests.e2e.test_ports import listening

pytestmark = pytest.mark.timeout(200)

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
# Ray collects metrics every ten seconds.
WITHIN_S = 60.0


def documented() -> dict[str, str]:
    """Type of each metric in the table."""
    table = OPERATIONS.read_text().partition("## Metrics")[2]
    return dict(re.findall(r"^\| `(ray_vectoray_\w+)` \| (\w+) \|", table, re.MULTILINE))


def exported(running: RunningServer) -> str:
    """What the exporter says, once it has said something of ours."""
    deadline_s = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline_s:
        for _, process, port in listening(running):
            if process == "dashboard agent":
                try:
                    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=5).text
                except httpx.HTTPError:
                    continue
                if all(name in text for name in documented()):
                    return text
        time.sleep(1)
    pytest.fail("The metrics were not exported in time.")


def ingest(client: httpx.Client) -> None:
    """Have a file ingested."""
    made = {"name": "papers", "dimension": 384, "metric": "cosine"}
    assert client.post("/api/v1/collections", json=made).is_success
    [papers] = client.get("/api/collections", params={"name": "papers"}).json()["items"]
    form = {"collection_id": papers["id"]}
    sent = client.post("/api/ingestion/upload", data=form, files={"file": ("a.txt", b"One sentence.")})
    job = client.post("/api/ingestion/jobs", params=form, json=sent.json()).json()
    # The stream ends with the job.
    told = client.get(f"/api/ingestion/jobs/{job['id']}/progress", timeout=60).text
    assert '"status":"completed"' in told


def test_every_documented_metric_is_exported_and_no_other(running: RunningServer) -> None:
    api = running.file.api_url
    vector = [1.0, 0.0, 0.0, 0.0]
    with httpx.Client(base_url=api, trust_env=False) as client:
        for number in range(20):
            row = {"id": str(number), "vector": vector}
            assert client.post("/api/v1/collections/probe/vectors", json={"vectors": [row]}).is_success
            found = client.post("/api/v1/collections/probe/search", json={"vector": vector})
            assert len(found.json()["results"]) == min(number + 1, 10)
        assert client.get("/api/v1/collections/missing").status_code == 404
        ingest(client)
    text = exported(running)
    types = dict(re.findall(r"^# TYPE (ray_vectoray_\w+) (\w+)$", text, re.MULTILINE))
    assert {name: documented().get(name) for name in types} == types
    searches = re.findall(
        r'^ray_vectoray_request_seconds_count\{[^}]*family="vectorizer",[^}]*'
        r'route="/api/v1/collections/\{collection_name\}/search",[^}]*status="200"[^}]*\} ([\d.]+)',
        text,
        re.MULTILINE,
    )
    assert sum(map(float, searches)) == 20
    assert 'route="/api/v1/collections/{collection_name}"' in text
    assert 'status="404"' in text
    assert 'stage="search"' in text
    assert 'role="shard-host"' in text
    assert 'outcome="stored"' in text
