"""Row: how near fetching comes to a site's own time."""

from scripts.bench.ingest.bench import Bench
from scripts.bench.ingest.fetch import DELAY_S, IN_FLIGHT, PAGES, ratio_to_ideal
from scripts.bench.measurement import Figure, Measurement

_SHARE = 0.7


def measure_fetch(bench: Bench) -> Measurement:
    """The site is a process of its own on this machine."""
    pages = bench.scaled(PAGES, least=2 * IN_FLIGHT)
    reached = ratio_to_ideal(pages)
    return Measurement(
        "fetch",
        (Figure("fetch: time of the site, to all of the time", _SHARE, reached, ""),),
        (f"{pages} pages that each take {1000 * DELAY_S:.0f} ms, {IN_FLIGHT} in flight",),
    )
