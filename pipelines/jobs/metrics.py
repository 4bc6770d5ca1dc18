"""What is measured of jobs and URLs."""

from cluster.metrics import Gauge, Histogram

RUNNING = Gauge("vectoray_ingestion_running", "Jobs and URLs that an ingestor works on.")
SECONDS = Histogram(
    "vectoray_ingestion_seconds",
    "Seconds that an ingestor had a job or a URL, by how that ended; counts documents as well.",
    ("kind", "outcome"),
    boundaries=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
CHUNKS = Histogram(
    "vectoray_ingestion_batch_chunks",
    "Chunks of uploaded files that were embedded and written together; sums up the chunks as well.",
    boundaries=(1, 4, 16, 64, 256, 1024),
)
