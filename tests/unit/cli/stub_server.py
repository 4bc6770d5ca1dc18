"""A program that keeps the server's contract with the command line, without Ray and storage.

Takes the lock, answers the few requests the commands make, writes ``server.json``, ends on SIGTERM. The
environment variable ``STUB`` makes it misbehave: ``mistake``, ``crash``, ``mute`` (never answers), ``deaf``
(ignores SIGTERM), ``littering`` (leaves a process of its session behind), ``stubborn`` (refuses to read its
settings again), ``fragile`` (ends when it is asked to).
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

COLLECTION_ID = "0b7e6a3c-6f0e-4f0e-9a53-2f7d3a1c0001"


class Handler(BaseHTTPRequestHandler):
    """The requests of the commands; the collections made are the class's state."""

    collections: ClassVar[list[dict[str, Any]]] = []

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/v1/health":
            count = len(self.collections)
            self.answer(
                {"status": "healthy", "version": "9", "uptime": 1, "collections": count, "total_vectors": 5}
            )
        elif path == "/healthz":
            self.answer({"status": "alive"})
        elif path == "/api/models":
            self.answer([{"name": "all-MiniLM-L6-v2", "provider": "local", "dimensions": 384}])
        elif path == "/api/collections":
            name = parse_qs(self.path.partition("?")[2])["name"][0]
            items = [item for item in self.collections if item["name"] == name]
            self.answer({"items": items, "total": len(items)})
        else:
            self.answer({"detail": "Not found."}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/api/v1/collections":
            self.collections.append(
                {
                    "id": COLLECTION_ID,
                    "name": body["name"],
                    "dimension": body["dimension"],
                    "distance_metric": body["metric"],
                    "embedding_model": "all-MiniLM-L6-v2",
                    "vector_count": 0,
                }
            )
            self.answer({"message": "ok", "collection": body["name"]}, 201)
        else:
            hits = [hit(body["text"], rank) for rank in range(min(body["top_k"], 2))]
            self.answer({"results": hits, "total": len(hits), "latency_ms": 1.5, "query_id": "q"})

    def answer(self, body: object, status: int = 200) -> None:
        """Send ``body`` as JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Keep the log for what the tests look for."""


def hit(text: str, rank: int) -> dict[str, object]:
    """A hit with a title that would steer a terminal, and [markup]."""
    return {
        "id": f"id-{rank}",
        "score": 0.9 - rank / 10,
        "distance": 0.1,
        "metadata": {"title": f"\x1b[31mTitle [bold]{rank}", "source": "guide/a.pdf", "page": 3},
        "text_content": f"About\n{text}. " + "word " * 100,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    for option in ("--data-dir", "--host", "--port", "--config"):
        parser.add_argument(option)
    options = parser.parse_args()
    behaviour = os.environ.get("STUB", "")
    sys.stderr.write("a line of the log\n")
    if behaviour == "mistake":
        sys.stderr.write("Port 8000 is in use; choose another with --port.\n")
        sys.exit(2)
    if behaviour == "crash":
        sys.exit("something broke")

    run_dir = Path(options.data_dir) / "run"
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = (run_dir / "server.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    session_dir = f"{options.data_dir}/ray/session_1"
    if behaviour in {"littering", "deaf"}:
        sleeper = [sys.executable, "-c", "import time; time.sleep(300)", options.data_dir]
        Path(session_dir).mkdir(parents=True)
        with Path(session_dir, "worker.out").open("w") as log:
            subprocess.Popen(sleeper, start_new_session=True, stdout=log)

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: stop(n))

    def stop(number: int) -> None:
        sys.stderr.write(f"got {signal.Signals(number).name}\n")
        if behaviour != "deaf":
            ended.set()

    outcomes = [0]

    def reload() -> None:
        if behaviour == "fragile":
            ended.set()
            return
        outcomes[0] += 1
        problem = "These settings cannot change: serve.port." if behaviour == "stubborn" else None
        part = run_dir / "reload.json.part"
        part.write_text(json.dumps({"number": outcomes[0], "problem": problem}))
        part.rename(run_dir / "reload.json")

    signal.signal(signal.SIGHUP, lambda *_: reload())
    http = ThreadingHTTPServer(("127.0.0.1", int(options.port or 0)), Handler)
    url = f"http://127.0.0.1:{http.server_port}"
    info = {
        "pid": os.getpid(),
        "started_at": "2026-01-01T00:00:00Z",
        "version": "9",
        "api_url": url,
        "docs_url": f"{url}/docs",
        "dashboard_url": "http://127.0.0.1:8265",
        "ray_address": "127.0.0.1:6379",
        "ray_token_path": "token",
        "data_dir": options.data_dir,
        "session_dir": session_dir,
    }
    threading.Thread(target=http.serve_forever, daemon=True).start()
    if behaviour != "mute":
        part = run_dir / "server.json.part"
        part.write_text(json.dumps(info))
        part.rename(run_dir / "server.json")
    ended.wait()
    (run_dir / "server.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
