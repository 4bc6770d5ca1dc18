"""The yardstick: the same index behind uvicorn alone, one process, everything in its memory."""

from pathlib import Path

import numpy as np
import orjson

from scripts.bench.corpus import point_id
from scripts.bench.serving.environment import environment
from scripts.bench.serving.points import TOP_K, Points
from scripts.bench.serving.service import Service, free_port
from scripts.bench.serving.target import HttpTarget, http_target

NAME = "bare uvicorn + usearch"
PACKAGES = (
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
    "orjson==3.13.0",
    "usearch==2.26.6",
    "numpy==2.4.6",
)
_PROGRAM = Path(__file__).with_name("bare_server.py")


class Bare:
    """`bare_server` with the stored points.

    Args:
        folder: For its data and its log.
        points: What it serves.

    Raises:
        NotToBeHad: It cannot be installed.
        RuntimeError: It does not start.
    """

    def __init__(self, folder: Path, points: Points) -> None:
        programs = environment("bare", PACKAGES)
        self._folder, self._points = folder, points
        data = folder / "bare"
        data.mkdir()
        np.save(data / "vectors.npy", points.vectors)
        with (data / "points.jsonl").open("wb") as file:
            for row in range(points.stored):
                file.write(orjson.dumps({"id": point_id(row), "payload": points.payload(row)}) + b"\n")
        port = free_port()
        self._url = f"http://127.0.0.1:{port}/search"
        self._service = Service(
            [
                *(str(programs / "uvicorn"), "bare_server:app", "--app-dir", str(_PROGRAM.parent)),
                *("--port", str(port), "--loop", "uvloop", "--http", "httptools", "--lifespan", "off"),
                *("--log-level", "warning", "--no-access-log"),
            ],
            port=port,
            log=folder / "bare.log",
            environment={"BARE_DATA": str(data), "PYTHONDONTWRITEBYTECODE": "1"},
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._service.pid

    def stop(self) -> None:
        """End it."""
        self._service.stop()

    def target(self) -> HttpTarget:
        """The ten nearest of each query, with their payloads."""
        bodies = [
            orjson.dumps({"vector": query, "top_k": TOP_K}, option=orjson.OPT_SERIALIZE_NUMPY)
            for query in self._points.queries
        ]
        return http_target(NAME, self._url, bodies, self._folder, self._rows_of)

    def _rows_of(self, answer: bytes) -> list[int]:
        return self._points.rows_of([(hit["id"], hit["payload"]) for hit in orjson.loads(answer)["results"]])
