"""Chroma's server, started by its own command, over its REST API."""

from pathlib import Path

import orjson

from scripts.bench.corpus import point_id
from scripts.bench.serving.environment import environment
from scripts.bench.serving.points import TOP_K, Points
from scripts.bench.serving.rest import Connection
from scripts.bench.serving.service import Service, free_port
from scripts.bench.serving.target import HttpTarget, http_target

NAME = "Chroma"
PACKAGES = ("chromadb==1.5.9",)
_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"


class Chroma:
    """A server at its default settings, with one collection under cosine.

    Args:
        folder: For its data and its log.

    Raises:
        NotToBeHad: It cannot be installed.
        RuntimeError: It does not start.
    """

    def __init__(self, folder: Path) -> None:
        programs = environment("chroma", PACKAGES)
        self._folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._service = Service(
            [str(programs / "chroma"), "run", "--path", str(folder / "chroma"), "--port", str(port)],
            port=port,
            log=folder / "chroma.log",
            environment={"ANONYMIZED_TELEMETRY": "False"},
        )
        with Connection(self.url) as connection:
            made = connection.post(
                _COLLECTIONS, {"name": "bench", "configuration": {"hnsw": {"space": "cosine"}}}
            )
        self._path = f"{_COLLECTIONS}/{made['id']}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._service.pid

    @property
    def insert_path(self) -> str:
        """Where points are added."""
        return f"{self._path}/add"

    def stop(self) -> None:
        """End it."""
        self._service.stop()

    def target(self, points: Points) -> HttpTarget:
        """The ten nearest of each query, with their metadata."""
        bodies = [
            orjson.dumps(
                {"query_embeddings": [query], "n_results": TOP_K, "include": ["metadatas", "distances"]},
                option=orjson.OPT_SERIALIZE_NUMPY,
            )
            for query in points.queries
        ]

        def rows_of(answer: bytes) -> list[int]:
            found = orjson.loads(answer)
            return points.rows_of(zip(found["ids"][0], found["metadatas"][0], strict=True))

        return http_target(NAME, f"{self.url}{self._path}/query", bodies, self._folder, rows_of)


def add_body(points: Points, rows: range) -> bytes:
    """Some points as Chroma takes them."""
    return orjson.dumps(
        {
            "ids": [point_id(row) for row in rows],
            "embeddings": [points.corpus.vectors[row] for row in rows],
            "metadatas": [points.payload(row) for row in rows],
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
