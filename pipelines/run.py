"""Entry point: ingest a folder into a collection of a running server, as a driver of its Ray.

``python -m pipelines.run PATH --collection-id UUID --data-dir DIR [--report FILE]``. Progress goes to stderr;
the report is JSON. Exit status: 0 when the run ended, even with failed documents; 2 for a mistake of the
caller, in one sentence on stderr; 1 otherwise.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from cluster.server_file import ServerFile
from cluster.settings import ClusterSettings
from pipelines.driver import joined
from pipelines.report import Report
from pipelines.settings import PipelineSettings
from pipelines.sources import FileDocument, LocalFolder, Skipped, Unread
from storage.catalog import Catalog
from vectoray.core.errors import (
    CollectionNotFound,
    InternalError,
    InvalidRequest,
    NotFound,
    VectorayError,
)
from vectoray.core.model import Collection
from vectoray.embedding import EmbeddingSettings, ModelRegistry
from vectoray.embedding.model import model_of

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to ingest, and where.

    Attributes:
        path: A document or a folder of documents.
        collection_id: A collection with an embedding model.
    """

    path: Path
    collection_id: str


def run(request: IngestRequest, server: ServerFile) -> Report:
    """Ingest, on the Ray of a running server that this process joins and leaves again.

    Raises:
        InvalidRequest: The path is not there, or the collection has no embedding model that fits it.
        CollectionNotFound: No such collection.
    """
    started_s = time.monotonic()
    pipelines = PipelineSettings.model_validate(server.settings["pipelines"])
    cluster = ClusterSettings.model_validate(server.settings["cluster"])
    embedding = EmbeddingSettings.model_validate(server.settings["embedding"])
    listed = list(LocalFolder(request.path, max_file_bytes=pipelines.max_file_bytes))
    collection = asyncio.run(_collection(request.collection_id, server))
    model_of(collection, ModelRegistry(embedding).models)
    documents = [item for item in listed if isinstance(item, FileDocument)]
    skipped = [item for item in listed if isinstance(item, Skipped)]
    refused = [item for item in listed if isinstance(item, Unread) and not isinstance(item, Skipped)]
    report = Report(failed=refused, skipped=skipped, documents=len(refused))
    if documents:
        _run_on_ray(documents, collection, server, cluster, pipelines, embedding, report)
    report.seconds = round(time.monotonic() - started_s, 3)
    return report


def _run_on_ray(  # noqa: PLR0917
    documents: Any,
    collection: Collection,
    server: ServerFile,
    cluster: ClusterSettings,
    pipelines: PipelineSettings,
    embedding: EmbeddingSettings,
    report: Report,
) -> None:
    with joined(server):
        # Ray reads its environment when it is imported, and joining sets that.
        import ray.exceptions  # noqa: PLC0415

        from pipelines.plan import ingestion_rows  # noqa: PLC0415

        try:
            rows = ingestion_rows(
                documents,
                collection,
                data_dir=Path(server.data_dir),
                cluster=cluster,
                pipelines=pipelines,
                embedding=embedding,
            )
            for row in rows:
                report.add(row)
        except ray.exceptions.RayError as error:
            cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else None
            if isinstance(cause, VectorayError):
                raise cause from None
            _log.warning("ingestion_failed", kind=type(cause or error).__name__)
            raise InternalError(
                "The ingestion stopped because a part of the cluster failed; run it again to go on."
            ) from error


async def _collection(collection_id: str, server: ServerFile) -> Collection:
    catalog = await Catalog.open(server.settings["database_url"])
    try:
        collection = await catalog.by_id(collection_id)
    finally:
        await catalog.dispose()
    if collection is None:
        raise CollectionNotFound.of(collection_id)
    return collection


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and report. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.run", description="Ingest a folder.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--collection-id", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args(arguments)
    try:
        report = run(IngestRequest(options.path, options.collection_id), ServerFile.read(options.data_dir))
    except (InvalidRequest, NotFound) as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2
    except VectorayError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 1
    text = json.dumps(report.to_json(), indent=2)
    if options.report:
        options.report.write_text(text)
    else:
        print(text)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
