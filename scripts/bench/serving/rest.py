"""JSON over one HTTP connection, with as little client as there can be: its own time is measured too."""

from http.client import HTTPConnection
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

_JSON = {"Content-Type": "application/json"}


class Refused(Exception):
    """A server's answer was an error.

    Attributes:
        status: Of the answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{message} (status {status})")
        self.status = status


class Connection:
    """A connection that is kept.

    Args:
        url: Scheme, host and port.
        timeout_s: Without an answer for so long, an ``OSError`` is raised.
    """

    def __init__(self, url: str, *, timeout_s: float = 120) -> None:
        self._http = HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of the answer.

        Raises:
            Refused: The status is not 2xx.
            OSError: There is no answer.
            HTTPException: The answer is not HTTP.
        """
        self._http.request(method, path, body, _JSON)
        answer = self._http.getresponse()
        content = answer.read()
        if not 200 <= answer.status < 300:
            raise Refused(answer.status, f"{method} {path} was answered with {content[:300]!r}")
        return content

    def post(self, path: str, value: object) -> Any:
        """What is answered to a JSON document."""
        return orjson.loads(self.send("POST", path, orjson.dumps(value)))

    def get(self, path: str) -> Any:
        """The JSON document at a path."""
        return orjson.loads(self.send("GET", path))
