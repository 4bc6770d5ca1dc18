"""What a row is given: a folder, how large the run is, servers of its own, and the command to ingest with."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.other_load import CpuSeconds, cpu_s_of_family
from scripts.bench.serving.vectoray_server import VectorayServer

_LIMIT_S = 3600
_STOP_S = 30


@dataclass(slots=True)
class Bench:
    """One run of the benchmarks.

    Attributes:
        folder: Of the run's own, on the disk that is measured.
        scale: What every amount of work is multiplied by; 1 for figures that count.
        ended_cpu_s: Processor time of servers that have been stopped.
    """

    folder: Path
    scale: float = 1.0
    ended_cpu_s: float = 0.0

    def scaled(self, amount: int, *, least: int) -> int:
        """An amount of work at this scale."""
        return max(least, round(amount * self.scale))

    def used(self) -> CpuSeconds:
        """The processor's time until now. What stopped servers used is this run's own."""
        now = CpuSeconds.now()
        return CpuSeconds(now.busy, now.own + self.ended_cpu_s, now.wall)

    @contextmanager
    def server(self, name: str, settings: Mapping[str, str] | None = None) -> Iterator[VectorayServer]:
        """A server on an empty data folder, as ``vectoray up`` starts it; it is stopped in the end.

        Args:
            name: Of its folder.
            settings: Environment variables.

        Raises:
            RuntimeError: It did not start.
        """
        server = VectorayServer(self.folder / name)
        try:
            server.start(settings)
            yield server
        finally:
            with suppress(OSError):
                self.ended_cpu_s += cpu_s_of_family(server.pid)
            server.stop()

    @contextmanager
    def ingesting(self, server: VectorayServer, documents: Path, collection: str) -> Iterator["Ingestion"]:
        """Run ``vectoray ingest`` meanwhile; one that has not ended at the end is stopped."""
        log = self.folder / f"ingest-{collection}.log"
        ingestion = Ingestion(server.ingesting(documents, collection, log=log), log)
        try:
            yield ingestion
        finally:
            ingestion.stop()

    def ingest(self, server: VectorayServer, documents: Path, collection: str) -> float:
        """Run ``vectoray ingest`` to its end.

        Returns:
            Seconds from its start until it has ended: all that it stored is searchable then.

        Raises:
            RuntimeError: It failed.
        """
        began_s = time.perf_counter()
        with self.ingesting(server, documents, collection) as ingestion:
            ingestion.wait()
        return time.perf_counter() - began_s


class Ingestion:
    """A running ``vectoray ingest``."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Follow a process that leads a session and says what it does in a log."""
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The command's process; its driver is a child."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until it ends.

        Raises:
            RuntimeError: It failed, or took an hour.
        """
        try:
            status = self._process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"the ingestion took longer than {_LIMIT_S} s") from error
        if status:
            said = (self._log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
            raise RuntimeError(f"the ingestion ended with status {status} and said: {said}")

    def stop(self) -> None:
        """End it, if it goes on."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.is_running:
                return
            os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_S)
