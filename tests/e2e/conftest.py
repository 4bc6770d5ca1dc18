"""A server with its settings in a file, for tests of what runs rather than of what the API answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from cluster.server_file import ServerFile
from tests.e2e.command import vectoray
from tests.e2e.ports import free_port


@dataclass(frozen=True)
class RunningServer:
    """A server started with ``vectoray up --detach``."""

    data_dir: Path
    config: Path

    @property
    def file(self) -> ServerFile:
        """What it says about itself."""
        return ServerFile.read(self.data_dir)

    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        server = psutil.Process(self.file.pid)
        return [server, *server.children(recursive=True)]

    def change(self, section: str, **values: object) -> None:
        """Write these settings, and no others, into its file."""
        self.config.write_text(yaml.safe_dump({section: values}))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A running server with a collection ``probe`` of four dimensions."""
    folder = tmp_path_factory.mktemp("running")
    server = RunningServer(folder / "data", folder / "config.yaml")
    server.change("serve")
    options = ("--data-dir", server.data_dir, "--config", server.config, "--port", free_port())
    done = vectoray("up", "--detach", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    made = httpx.post(
        f"{server.file.api_url}/api/v1/collections",
        json={"name": "probe", "dimension": 4, "metric": "cosine"},
        trust_env=False,
    )
    assert made.status_code == 201, made.text
    yield server
    vectoray("down", "--data-dir", server.data_dir)
