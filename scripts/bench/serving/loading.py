"""Sends batches of points to a server from a few connections, and says how long that took."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from scripts.bench.serving.rest import Connection, Refused

CONNECTIONS = 4
_OVERLOADED = {429, 503}
_RETRY_S = 0.1


def send_all(url: str, path: str, bodies: Sequence[bytes]) -> float:
    """Post every body and wait for its answer; what was refused as overload is sent again.

    Returns:
        Seconds from the first request to the last answer.

    Raises:
        Refused: An answer was another error.
        OSError: There was no answer.
    """
    waiting, lock = deque(bodies), threading.Lock()

    def send() -> None:
        with Connection(url) as connection:
            while True:
                with lock:
                    if not waiting:
                        return
                    body = waiting.popleft()
                _send_one(connection, path, body)

    began_s = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for sender in [pool.submit(send) for _ in range(CONNECTIONS)]:
            sender.result()
    return time.perf_counter() - began_s


def _send_one(connection: Connection, path: str, body: bytes) -> None:
    while True:
        try:
            connection.send("POST", path, body)
        except Refused as refused:
            if refused.status not in _OVERLOADED:
                raise
            time.sleep(_RETRY_S)
        else:
            return
