"""Clients that ask a server without pause, and remember every answer."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx


@dataclass(frozen=True)
class Answer:
    """One request as its client met it.

    Attributes:
        at_s: When it ended, on the clock of `time.monotonic`.
        took_s: How long the client waited.
        outcome: The status, or the name of the exception where there was none.
        body: What came with a status from 500 on.
    """

    at_s: float
    took_s: float
    outcome: str
    body: bytes = b""
    retry_after: str | None = None


@dataclass
class Load:
    """What the clients met so far."""

    answers: list[Answer] = field(default_factory=list)

    def outcomes(self) -> Counter[str]:
        """How often each outcome came."""
        return Counter(answer.outcome for answer in self.answers)

    def failures(self) -> list[Answer]:
        """Everything but successes."""
        return [answer for answer in self.answers if not answer.outcome.startswith("2")]

    def failing_s(self) -> float:
        """Seconds from the first failure to the last."""
        times = [answer.at_s for answer in self.failures()]
        return max(times) - min(times) if times else 0.0

    def wait_for(self, more: int, timeout_s: float = 60.0) -> None:
        """Wait until ``more`` further answers have come."""
        wanted, deadline_s = len(self.answers) + more, time.monotonic() + timeout_s
        while len(self.answers) < wanted:
            assert time.monotonic() < deadline_s, "the clients get no answers"
            time.sleep(0.01)


@contextmanager
def load(api_url: str, path: str, body: object, *, keep_alive: int, anew: int) -> Iterator[Load]:
    """Clients that ask until the block ends.

    Args:
        api_url: Of the server.
        path: What they POST to.
        body: What they send, as JSON.
        keep_alive: Clients that stay on one connection for as long as the server lets them.
        anew: Clients that connect for each request.
    """
    met, end = Load(), threading.Event()
    url, data = httpx.URL(api_url), json.dumps(body).encode()

    def ask_without_pause(*, anew: bool) -> None:
        connection = http.client.HTTPConnection(url.host, url.port, timeout=60)
        while not end.is_set():
            started_s = time.monotonic()
            answer = _ask(connection, path, data)
            ended_s = time.monotonic()
            met.answers.append(Answer(ended_s, ended_s - started_s, *answer))
            if anew or not answer[0].isdigit():
                connection.close()
        connection.close()

    kinds = [False] * keep_alive + [True] * anew
    threads = [threading.Thread(target=ask_without_pause, kwargs={"anew": kind}) for kind in kinds]
    for thread in threads:
        thread.start()
    try:
        yield met
    finally:
        end.set()
        for thread in threads:
            thread.join()


def _ask(connection: http.client.HTTPConnection, path: str, data: bytes) -> tuple[str, bytes, str | None]:
    try:
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, b"", None
    return str(response.status), body if response.status >= 500 else b"", response.getheader("Retry-After")
