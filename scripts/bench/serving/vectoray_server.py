"""Vectoray as a user starts it: by its command, with settings in the environment, spoken to over REST."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from scripts.bench.serving.points import TOP_K, Points
from scripts.bench.serving.rest import Connection
from scripts.bench.serving.service import free_port
from scripts.bench.serving.target import HttpTarget, http_target
from scripts.bench.shards import manifest_of, unsealed_rows

NAME = "Vectoray"
_COMMAND = Path(sys.executable).with_name("vectoray")
_COMMAND_LIMIT_S = 300
# Reading one's own writes through another gateway takes two of them. What the caller's environment says wins.
_SETTINGS = {"VECTORAY_CLUSTER__GATEWAY_REPLICAS": "2"}
# A shard rests 15 s after its last write; then it merges, and seals what is not too little for a segment.
_FEW_ROWS = 512
_REST_LIMIT_S = 240
_REST_POLL_S = 0.5


class VectorayServer:
    """A server on a data folder of its own, over several starts.

    Args:
        data_dir: Made if it is not there.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self.url = f"http://127.0.0.1:{free_port()}"
        self.settings: Mapping[str, str] = {}

    def start(self, settings: Mapping[str, str] | None = None) -> None:
        """Start it; the settings are environment variables besides the usual ones.

        Raises:
            RuntimeError: It did not start.
        """
        given = {name: value for name, value in os.environ.items() if name.startswith("VECTORAY_")}
        self.settings = {**_SETTINGS, **given, **(settings or {})}
        self._run("up", "--detach", "--port", self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop it, if it runs."""
        self._run("down", check=False)

    def is_healthy(self) -> bool:
        """Whether it answers, and all of its shards do."""
        answer = self._run("status", "--json", check=False)
        return bool(json.loads(answer)["healthy"]) if answer else False

    @property
    def data_dir(self) -> Path:
        """The data folder, absolute."""
        return self._data_dir

    @property
    def environment(self) -> dict[str, str]:
        """Of the server and its drivers: this checkout, whichever one the environment was installed from."""
        return {**os.environ, **self.settings, "PYTHONPATH": str(Path.cwd())}

    @property
    def pid(self) -> int:
        """The process whose descendants are the whole server."""
        found: dict[str, Any] = json.loads((self._data_dir / "run" / "server.json").read_text())
        return int(found["pid"])

    def create(self, collection: str, dimension: int) -> str:
        """Make a collection, of as many shards as the settings say; returns its id."""
        with Connection(self.url) as connection:
            connection.post(
                "/api/v1/collections", {"name": collection, "dimension": dimension, "metric": "cosine"}
            )
        return self._id(collection)

    def count(self, collection: str) -> int:
        """How many points a collection has."""
        with Connection(self.url) as connection:
            return int(connection.get(f"/api/v1/collections/{collection}")["vector_count"])

    def drop(self, collection: str) -> None:
        """Delete a collection."""
        with Connection(self.url) as connection:
            connection.send("DELETE", f"/api/v1/collections/{collection}")

    def insert_path(self, collection: str) -> str:
        """Where vectors are inserted."""
        return f"/api/v1/collections/{collection}/vectors"

    def query_path(self, collection: str) -> str:
        """Where a collection is asked; this API leaves out the vectors of the hits, and has filters."""
        return f"/api/collections/{self._id(collection)}/query"

    def target(
        self,
        name: str,
        collection: str,
        points: Points,
        folder: Path,
        *,
        questions: list[dict[str, Any]] | None = None,
    ) -> HttpTarget:
        """A collection to search.

        Args:
            name: What the table calls it.
            collection: Which.
            points: What it holds.
            folder: Where the requests are kept.
            questions: What is asked; None for the ten nearest of each query.
        """
        asked = questions or [{"vector": query} for query in points.queries]
        bodies = [
            orjson.dumps({**question, "top_k": TOP_K}, option=orjson.OPT_SERIALIZE_NUMPY)
            for question in asked
        ]

        def rows_of(answer: bytes) -> list[int]:
            hits = orjson.loads(answer)["results"]
            return points.rows_of([(hit["id"], hit["metadata"]) for hit in hits])

        return http_target(name, self.url + self.query_path(collection), bodies, folder, rows_of)

    def wait_until_at_rest(self, collection: str) -> float | None:
        """Wait until every shard of a collection has rested and merged.

        Returns:
            How many seconds that took, or None when it did not come to that within some minutes.
        """
        shards = list((self._data_dir / "collections" / self._id(collection)).glob("shard-*"))
        began_s = time.monotonic()
        while time.monotonic() < began_s + _REST_LIMIT_S:
            if all(_rests(shard) for shard in shards):
                return time.monotonic() - began_s
            time.sleep(_REST_POLL_S)
        return None

    def ingesting(self, folder: Path, collection: str, *, log: Path) -> subprocess.Popen[bytes]:
        """Start ``vectoray ingest`` in a session of its own; what it says goes to the log."""
        with log.open("wb") as out:
            return subprocess.Popen(
                [*self._command("ingest"), str(folder), "--collection", collection],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _id(self, collection: str) -> str:
        with Connection(self.url) as connection:
            page = connection.get(f"/api/collections?name={collection}")
        return str(page["items"][0]["id"])

    def _command(self, name: str) -> list[str]:
        return [str(_COMMAND), name, "--data-dir", str(self._data_dir)]

    def _run(self, command: str, *options: str, check: bool = True) -> str:
        ended = subprocess.run(
            [*self._command(command), *options],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_LIMIT_S,
        )
        if check and ended.returncode:
            raise RuntimeError(f"'vectoray {command}' ended with status {ended.returncode}: {ended.stderr}")
        return ended.stdout


def _rests(shard: Path) -> bool:
    return unsealed_rows(shard) < _FEW_ROWS and len(manifest_of(shard).segments) <= 1
