"""What the HTTP side measures."""

from cluster.metrics import Gauge, Histogram

REQUEST_SECONDS = Histogram(
    "vectoray_request_seconds",
    "Seconds from a request's arrival in a gateway to the end of its answer, by API family, path and status.",
    ("family", "route", "status"),
)
INGESTION_WORKERS = Gauge(
    "vectoray_ingestion_workers", "Ingestors that were seen in the last half minute, as gateways see it."
)
INGESTION_WAITING = Gauge(
    "vectoray_ingestion_waiting",
    "Jobs (uploads) and URLs (urls) that are not finished, as gateways see them.",
    ("kind", "status"),
)


class RequestMetric:
    """Requests of one API family."""

    def __init__(self, family: str) -> None:
        """Name the family."""
        self._family = family
        # As many as there are paths and statuses that we answer with.
        self._tags: dict[tuple[str, int], dict[str, str]] = {}

    def observe(self, seconds: float, *, route: str, status: int) -> None:
        """Take in a request.

        Args:
            seconds: How long it took.
            route: Path as it is declared, with names in place of values; "" where there is none.
            status: What was answered; 499 when the client left before.
        """
        tags = self._tags.get((route, status))
        if tags is None:
            tags = {"family": self._family, "route": route, "status": str(status)}
            self._tags[route, status] = tags
        REQUEST_SECONDS.observe(seconds, tags)
