"""Runs the command line on stub programs, and checks that it leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vectoray.cli import processes
from vectoray.cli.main import app
from vectoray.cli.programs import Programs

HERE = Path(__file__).parent

STUBS = Programs(
    server=(sys.executable, str(HERE / "stub_server.py")),
    ingest=(sys.executable, str(HERE / "stub_ingest.py")),
)
# The command line in a process of its own, with the stubs to start.
DRIVER = f"""
from vectoray.cli.main import app
from vectoray.cli.programs import Programs
app(obj={STUBS!r})
"""


@dataclass
class CommandLine:
    """The `vectoray` command on one data directory.

    Attributes:
        env: Added to the environment of every command.
    """

    data_dir: Path
    env: dict[str, str] = field(default_factory=dict)

    def start(self, *args: str) -> "subprocess.Popen[str]":
        """Start a command and return at once."""
        return subprocess.Popen(
            [sys.executable, "-c", DRIVER, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "VECTORAY_DATA_DIR": str(self.data_dir), **self.env},
        )

    def run(self, *args: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end in a process of its own, which also shows what its child says."""
        with self.start(*args) as process:
            out, err = process.communicate(timeout=20)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def __call__(self, *args: str) -> Result:
        """Run a command to its end in this process, which is faster."""
        env = {"VECTORAY_DATA_DIR": str(self.data_dir), **self.env}
        return CliRunner().invoke(app, args, obj=STUBS, env=env, catch_exceptions=False)


@pytest.fixture
def vectoray(tmp_path: Path) -> Iterator[CommandLine]:
    """The command; afterwards no process that names the test's folder may be left."""
    yield CommandLine(tmp_path / "data")
    _fail_if_left(tmp_path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command beside a server that runs."""
    folder = tmp_path_factory.mktemp("running")
    command = CommandLine(folder / "data")
    assert command("up", "--detach").exit_code == 0
    yield command
    command("down")
    _fail_if_left(folder)


@pytest.fixture
def spawn() -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Starts processes that are killed after the test."""
    spawned: list[subprocess.Popen[bytes]] = []

    def start(*args: str) -> "subprocess.Popen[bytes]":
        spawned.append(subprocess.Popen([sys.executable, "-c", *args]))
        return spawned[-1]

    yield start
    for process in spawned:
        process.kill()
        process.wait()


def _fail_if_left(folder: Path) -> None:
    # One that has just given up its lock may still be on its way out.
    deadline_s = time.monotonic() + 5
    while (left := processes.mentioning(str(folder))) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    for process in left:
        processes.send_signal(process, signal.SIGKILL)
    assert not left
