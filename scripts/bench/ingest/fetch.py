"""How near fetching comes to the ideal, in which only the server's time counts.

``python -m scripts.bench.ingest.fetch``
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.fetch import Fetcher, FetchSettings

PAGES = 500
IN_FLIGHT = 64
DELAY_S = 0.05


def ratio_to_ideal(pages: int = PAGES, in_flight: int = IN_FLIGHT, delay_s: float = DELAY_S) -> float:
    """Fetch pages of one host that answers after a while.

    Args:
        pages: How many.
        in_flight: Requests under way at a time.
        delay_s: Seconds after which the server answers.

    Returns:
        The time it would take if requests cost nothing, divided by the time it took.
    """
    ideal_s = pages * delay_s / in_flight
    with _slow_site(delay_s) as port:
        return ideal_s / asyncio.run(_fetch_all(f"http://127.0.0.1:{port}", pages, in_flight))


async def _fetch_all(site: str, pages: int, in_flight: int) -> float:
    """The seconds it takes, from the first request; the site's robots.txt is known before."""
    settings = FetchSettings(
        allow_hosts=("127.0.0.1",), max_in_flight=in_flight, max_in_flight_per_host=in_flight, host_delay_s=0
    )
    async with Fetcher(settings) as fetcher:
        await fetcher.fetch(f"{site}/first")
        started_s = time.perf_counter()
        await asyncio.gather(*(fetcher.fetch(f"{site}/{number}") for number in range(pages)))
        return time.perf_counter() - started_s


@contextmanager
def _slow_site(delay_s: float) -> Iterator[int]:
    """The port of a site in a process of its own, so that it takes no time of the fetcher's."""
    command = [sys.executable, "-m", "scripts.bench.ingest.slow_site", str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield int(server.stdout.readline() if server.stdout else "")
        finally:
            server.terminate()


if __name__ == "__main__":
    ratio = ratio_to_ideal()
    print(f"{ratio:.0%} of the ideal: {PAGES} pages, {IN_FLIGHT} in flight, {DELAY_S:g} s each")
