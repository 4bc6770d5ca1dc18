"""One small server for all tests of this folder, in processes of its own; the tests join its Ray as a driver.

Ray reads its environment when it is imported, so it is set here, before any test module is.
"""

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from cluster import ray_environment

_folder = tempfile.TemporaryDirectory(prefix="vectoray-tests-")
DATA_DIR = Path(_folder.name, "data")
ray_environment.apply(DATA_DIR / "secrets" / "ray.token")

with warnings.catch_warnings():
    # Ray's own use of pydantic is not ours to mend.
    warnings.simplefilter("ignore")
    from cluster import runtime
    from cluster.ray_engine import RayEngine
from cluster.engine import Engine  # noqa: E402
from cluster.local_engine import LocalEngine  # noqa: E402
from cluster.ports import free_port  # noqa: E402
from cluster.server_file import ServerFile  # noqa: E402
from cluster.settings import ClusterSettings  # noqa: E402
from storage.settings import StorageSettings  # noqa: E402
from vectoray.core.errors import Unavailable  # noqa: E402

if TYPE_CHECKING:
    from _pytest.fixtures import SubRequest

_START_S = 90
_SETTINGS = {
    "VECTORAY_CLUSTER__SHARD_HOSTS": "2",
    "VECTORAY_CLUSTER__NUM_CPUS": "2",
    "VECTORAY_STORAGE__SEAL_ROWS": "64",
    "VECTORAY_STORAGE__FLUSH_ROWS": "64",
    "VECTORAY_PIPELINES__LOAD__SEGMENT_ROWS": "64",
    "VECTORAY_PIPELINES__FETCH__ALLOW_HOSTS": '["127.0.0.1"]',
}


@pytest.fixture(scope="session")
def server() -> Iterator[ServerFile]:
    """A running server with two shard hosts that seal and flush early; this process has joined its Ray."""
    command = [sys.executable, "-P", "-m", "serve.main", "--data-dir", str(DATA_DIR)]
    command += ["--port", str(free_port(0))]
    log_path = Path(_folder.name, "server.log")
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **_SETTINGS})
    try:
        running = _wait_for_server(process, log_path)
        runtime.join(running)
        yield running
        runtime.leave()
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(60)
        _, left = psutil.wait_procs(children, timeout=10)
        assert left == [], "processes outlive the server"
        _folder.cleanup()


def _wait_for_server(process: "subprocess.Popen[bytes]", log_path: Path) -> ServerFile:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        try:
            return ServerFile.read(DATA_DIR)
        except Unavailable:
            time.sleep(0.1)
    pytest.fail(f"The server did not start:\n{log_path.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def ray_engine(server: ServerFile) -> RayEngine:
    """The engine over the server's shard hosts, whose files it reads by itself."""
    return RayEngine(ClusterSettings.model_validate(server.settings["cluster"]), data_dir=DATA_DIR)


@pytest.fixture(scope="session")
def remote_engine(server: ServerFile) -> RayEngine:
    """The engine of a process that has no part of the shards' files."""
    return RayEngine(ClusterSettings.model_validate(server.settings["cluster"]))


@pytest_asyncio.fixture(params=["local", "ray", "remote"], loop_scope="session")
async def engine(request: "SubRequest", tmp_path: Path) -> AsyncIterator[Engine]:
    """Every engine there is, one after the other."""
    if request.param != "local":
        yield request.getfixturevalue(f"{request.param}_engine")
        return
    local = LocalEngine(tmp_path, StorageSettings(seal_rows=64, flush_rows=64))
    yield local
    await local.close()
