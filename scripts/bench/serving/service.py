"""A server process of another system: started, waited for, stopped, and what its processes use."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.bench.other_load import cpu_s_of_family

_START_S = 120
_STOP_S = 15
# A process that waits for work still wakes up now and then.
_IDLE_CORES = 0.3
_IDLE_SAMPLE_S = 1.0


class Service:
    """A program that listens on a port of this machine.

    Args:
        command: What to run.
        port: Where it will listen.
        log: Where its output goes.
        environment: Variables besides ours.
        user: Whom to run it as; None for oneself.

    Raises:
        RuntimeError: It ended, or did not listen within two minutes.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **(environment or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                user=user,
            )
        try:
            self._wait(port, log)
        except BaseException:
            self.stop()
            raise

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, by force if it does not end by itself."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, port: int, log: Path) -> None:
        end_s = time.monotonic() + _START_S
        while self._process.poll() is None and time.monotonic() < end_s:
            if listens(port):
                return
            time.sleep(0.05)
        said = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
        raise RuntimeError(f"the server did not start; it said: {said}")


def listens(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_idle(pid: int, *, limit_s: float) -> None:
    """Wait until a process and its descendants do next to nothing, or until the limit."""
    end_s = time.monotonic() + limit_s
    used_s = cpu_s_of_family(pid)
    while time.monotonic() < end_s:
        time.sleep(_IDLE_SAMPLE_S)
        before_s, used_s = used_s, cpu_s_of_family(pid)
        if used_s - before_s < _IDLE_CORES * _IDLE_SAMPLE_S:
            return
