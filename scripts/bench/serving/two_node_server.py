"""Starts a server that spans two Ray nodes of this machine, with half of the shard hosts on each."""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from scripts.bench.serving.service import Service, free_port, listens
from scripts.bench.serving.vectoray_server import VectorayServer

_RAY = Path(sys.executable).with_name("ray")
NODES = 2
SHARDS = 2
_POLL_S = 0.2
_OBJECT_STORE_BYTES = 200 * 2**20


class TwoNodes(NamedTuple):
    """A server over two nodes.

    Attributes:
        pids: Processes whose descendants are the server, on both nodes.
    """

    server: VectorayServer
    pids: tuple[int, ...]


@contextmanager
def two_node_server(data_dir: Path) -> Iterator[TwoNodes]:
    """The server, running; stopped in the end, and its second node with it.

    `vectoray up` starts the first node. It waits for its second shard host, which may run only on a node that
    has the resource for it; that node joins meanwhile.

    Args:
        data_dir: A new folder; both nodes see it, as they would see a shared disk.

    Raises:
        RuntimeError: One of them did not start.
    """
    gcs_port = free_port()
    server = VectorayServer(data_dir)
    settings = {
        "VECTORAY_CLUSTER__SHARD_HOSTS": str(NODES),
        "VECTORAY_CLUSTER__PIN_SHARD_HOSTS": "true",
        "VECTORAY_CLUSTER__SHARDS_PER_COLLECTION": str(SHARDS),
        "RAY_GCS_SERVER_PORT": str(gcs_port),
        "RAY_OVERRIDE_RESOURCES": json.dumps({"vectoray-shard-host-0": 1}),
    }
    node: Service | None = None
    with ThreadPoolExecutor(1) as starter:
        started = starter.submit(server.start, settings)
        try:
            node = _second_node(data_dir, gcs_port, started)
            started.result()
            yield TwoNodes(server, (server.pid, node.pid))
        finally:
            server.stop()
            if node is not None:
                node.stop()


def _second_node(data_dir: Path, gcs_port: int, started: Future[None]) -> Service:
    token = data_dir / "secrets" / "ray.token"
    while not (token.exists() and listens(gcs_port)):
        if started.done():
            # Raises what went wrong.
            started.result()
            raise RuntimeError("the server did not wait for its second shard host")
        time.sleep(_POLL_S)
    return Service(
        [
            *(str(_RAY), "start", "--block", "--address", f"127.0.0.1:{gcs_port}", "--num-cpus", "1"),
            *("--object-store-memory", str(_OBJECT_STORE_BYTES)),
            *("--resources", json.dumps({"vectoray-shard-host-1": 1})),
        ],
        port=gcs_port,
        log=data_dir.with_name("second-node.log"),
        environment={
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            # As the first node has it from the server: Ray's default lets workers give way to all else.
            "RAY_worker_niceness": "0",
            "PYTHONPATH": str(Path.cwd()),
        },
    )
