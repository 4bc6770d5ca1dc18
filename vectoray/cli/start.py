"""Waits until a server that was just started answers."""

import subprocess
import time

from vectoray.cli.output import Tick
from vectoray.cli.server_files import ServerFiles, ServerInfo
from vectoray.client import Client
from vectoray.core.errors import VectorayError

_POLL_S = 0.1
_PING_TIMEOUT_S = 2.0


class ServerEnded(Exception):
    """The server ended before it answered.

    Attributes:
        returncode: As `subprocess.Popen` gives it.
    """

    def __init__(self, returncode: int) -> None:
        super().__init__(f"The server ended with {returncode}.")
        self.returncode = returncode


def wait_until_answering(
    child: "subprocess.Popen[bytes]", files: ServerFiles, *, timeout_s: float | None, tick: Tick
) -> ServerInfo:
    """Return what the server wrote about itself, once it answers a request.

    Args:
        child: The server.
        files: Of its data directory. A file that an earlier server left there is told by its process id.
        timeout_s: How long to wait in seconds; None for as long as it takes.
        tick: Called about ten times a second.

    Raises:
        ServerEnded: It ended instead.
        TimeoutError: It did not answer in time.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            child.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            tick()
        else:
            raise ServerEnded(child.returncode)
        info = files.info()
        if info and info.pid == child.pid and _answers(info):
            return info
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError


def _answers(info: ServerInfo) -> bool:
    try:
        with Client(info.api_url, timeout_s=_PING_TIMEOUT_S) as client:
            client.ping()
    except VectorayError:
        return False
    return True
