"""A local endpoint for embeddings that answers, or misbehaves, as a test tells it."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

DIMENSION = 4


@dataclass
class Request:
    """One that came: its headers and its body."""

    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Reply:
    """What is sent back. Bytes are sent as they are; with ``drip``, one by one until it is set."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drip: threading.Event | None = None


def vector_of(text: str) -> list[float]:
    """What a text is embedded as here; not of unit length."""
    return [float(len(text)), 1.0, 2.0, float(sum(text.encode()) % 97)]


def unit_vectors(texts: list[str]) -> Any:
    vectors = np.array([vector_of(text) for text in texts], dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def good(request: Request) -> Reply:
    """As the protocol says, in the encoding that was asked for, and in reverse order."""
    items = []
    for index, text in enumerate(request.body["input"]):
        embedding: Any = vector_of(text)
        if request.body["encoding_format"] == "base64":
            embedding = base64.b64encode(np.array(embedding, dtype="<f4").tobytes()).decode()
        items.append({"object": "embedding", "index": index, "embedding": embedding})
    return Reply(body={"object": "list", "data": items[::-1], "model": "m", "usage": {}})


class Endpoint:
    """Answers by the replies that were prepared, then as it should."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[Request] = []
        self.replies: list[Reply | Callable[[Request], Reply]] = []
        self._turn = threading.Lock()

    def reply_to(self, request: Request) -> Reply:
        with self._turn:
            self.requests.append(request)
            reply = self.replies.pop(0) if self.replies else good
        return reply if isinstance(reply, Reply) else reply(request)


@contextmanager
def endpoint() -> Iterator[Endpoint]:
    """Runs one on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = served.reply_to(Request(dict(self.headers), body))
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if reply.drip is not None:
                    self._drip(content, reply.drip)
                else:
                    self.wfile.write(content)
            except OSError:
                # The other side had enough.
                self.close_connection = True

        def _drip(self, content: bytes, end: threading.Event) -> None:
            for position in range(len(content)):
                self.wfile.write(content[position : position + 1])
                if end.wait(0.01):
                    return

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    served = Endpoint(f"http://127.0.0.1:{server.server_port}/v1/embeddings")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
