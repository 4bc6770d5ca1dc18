"""A process that reads documents, as the one that started it sees it: start, ask, kill."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from enum import Enum, auto
from pathlib import Path

from pipelines.parse.document import MediaType
from pipelines.parse.frames import LENGTH, Answer, decode_answer, encode_request
from pipelines.parse.settings import ParseSettings

_START_TIMEOUT_S = 60.0
# A call looks so often whether it was cancelled.
_CANCEL_POLL_S = 0.02
_RECEIVE_BYTES = 2**18
# What Python and the libraries need of the environment; secrets of a server are none of their business.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")


class End(Enum):
    """Why there is no answer."""

    LATE = auto()
    CANCELLED = auto()
    CPU = auto()
    DIED = auto()


class ChildProcess:
    """Used by one thread at a time, but for `kill`.

    Attributes:
        answered: How many documents it has read or refused.
    """

    def __init__(self, settings: ParseSettings) -> None:
        self.answered = 0
        self._most_bytes = settings.max_memory_bytes
        self._connection, theirs = socket.socketpair()
        self._connection.setblocking(False)  # noqa: FBT003
        lifeline, self._lifeline = os.pipe()
        options = {
            "connection": theirs.fileno(),
            "lifeline": lifeline,
            "limits": asdict(settings.limits),
            "max_cpu_s": settings.max_cpu_s,
            "max_memory_bytes": settings.max_memory_bytes,
        }
        try:
            self._process = subprocess.Popen(  # noqa: S603
                # -P, -s: modules from our own path alone; -B: it may write no file.
                [sys.executable, "-P", "-s", "-B", "-m", "pipelines.parse.child", json.dumps(options)],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # What a library complains about may quote the document.
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), lifeline),
            )
        except BaseException:
            self._connection.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(lifeline)

    def wait_until_ready(self, cancel: threading.Event | None) -> End | None:
        """None once it has started, else why it has not. To be called once, before `ask`."""
        started = self._exchange((), _START_TIMEOUT_S, cancel)
        return started if isinstance(started, End) else None

    def ask(
        self, data: bytes, media_type: MediaType, *, timeout_s: float, cancel: threading.Event | None
    ) -> Answer | End:
        """Have a document read. After an `End` the process is good for nothing more."""
        frame = self._exchange(encode_request(data, media_type), timeout_s, cancel)
        if isinstance(frame, End):
            return frame
        try:
            answer = decode_answer(frame)
        except (ValueError, TypeError, LookupError):
            return self._cause_of_death()
        self.answered += 1
        return answer

    def kill(self) -> None:
        """End the process at once, from any thread. Who waits for its answer gets `End.DIED`."""
        self._process.kill()

    def close(self) -> None:
        """End the process, and give back what it holds here."""
        self._process.kill()
        self._process.wait()
        self._connection.close()
        os.close(self._lifeline)

    def _exchange(
        self, request: tuple[bytes, ...], timeout_s: float, cancel: threading.Event | None
    ) -> bytes | End:
        """Send a frame, and receive one."""
        deadline = time.monotonic() + timeout_s
        try:
            for part in request:
                end = self._send(part, deadline, cancel)
                if end is not None:
                    return end
            header = self._receive(LENGTH.size, deadline, cancel)
            if isinstance(header, End):
                return header
            (size,) = LENGTH.unpack(header)
            # More than it may have in memory itself: it does not follow our code any more.
            return (
                self._cause_of_death() if size > self._most_bytes else self._receive(size, deadline, cancel)
            )
        except (ConnectionError, EOFError):
            return self._cause_of_death()

    def _send(self, part: bytes, deadline: float, cancel: threading.Event | None) -> End | None:
        rest = memoryview(part)
        while rest:
            end = self._wait_for(select.POLLOUT, deadline, cancel)
            if end is not None:
                return end
            rest = rest[self._connection.send(rest) :]
        return None

    def _receive(self, size: int, deadline: float, cancel: threading.Event | None) -> bytes | End:
        received = bytearray()
        while len(received) < size:
            end = self._wait_for(select.POLLIN, deadline, cancel)
            if end is not None:
                return end
            some = self._connection.recv(min(size - len(received), _RECEIVE_BYTES))
            if not some:
                raise EOFError
            received += some
        return bytes(received)

    def _wait_for(self, event: int, deadline: float, cancel: threading.Event | None) -> End | None:
        """None when the connection is ready, or broken, which the next call finds out."""
        connection = select.poll()
        connection.register(self._connection, event)
        while True:
            if cancel is not None and cancel.is_set():
                return End.CANCELLED
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return End.LATE
            if connection.poll(1000 * (left_s if cancel is None else min(left_s, _CANCEL_POLL_S))):
                return None

    def _cause_of_death(self) -> End:
        self._process.kill()
        return End.CPU if self._process.wait() == -signal.SIGXCPU else End.DIED


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # So that it finds the modules that this process has, wherever a cluster has put them.
    return {**kept, "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}
