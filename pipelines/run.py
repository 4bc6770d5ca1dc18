"""Entry point: ingest a source into a collection of a running server, as a driver of its Ray.

``python -m pipelines.run SOURCE --collection-id UUID --data-dir DIR``. The report is JSON. Exit status: 0
when the run ended, even with failed documents; 2 for a mistake of the caller, in one sentence on stderr; 1
otherwise.
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
from pipelines.chunk_settings import ChunkingSettings
from pipelines.driver import joined
from pipelines.dry_run import forecast
from pipelines.progress import told
from pipelines.report import Report
from pipelines.settings import PipelineSettings
from pipelines.source_request import SourceRequest
from pipelines.sources import TextColumns
from storage.catalog import Catalog
from vectoray.core.errors import (
    CollectionNotFound,
    InternalError,
    InvalidRequest,
    NotFound,
    VectorayError,
)
from vectoray.core.ingestion import Chunking, ChunkingStrategy
from vectoray.core.model import Collection
from vectoray.embedding import EmbeddingSettings, ModelRegistry
from vectoray.embedding.model import model_of

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """What to ingest, where, and how.

    Attributes:
        source: What to read.
        collection_id: A collection with an embedding model. None, for a dry run alone, stands for one that is
            yet to be made, with the model of the settings.
        chunking: How to cut; whatever is None is as the settings say.
        progress: A file that is to tell how far the run is.
    """

    source: SourceRequest
    collection_id: str | None
    strategy: ChunkingStrategy | None = None
    size_chars: int | None = None
    overlap_chars: int | None = None
    progress: Path | None = None

    def applied_to(self, settings: PipelineSettings) -> PipelineSettings:
        """The settings with the request's chunking.

        Raises:
            InvalidRequest: The sizes do not fit each other.
        """
        default = settings.chunking
        chunking = Chunking(
            self.strategy or default.strategy,
            default.size_chars if self.size_chars is None else self.size_chars,
            default.overlap_chars if self.overlap_chars is None else self.overlap_chars,
        )
        changed = ChunkingSettings(
            strategy=chunking.strategy,
            size_chars=chunking.size_chars,
            overlap_chars=chunking.overlap_chars,
        )
        return settings.model_copy(update={"chunking": changed})


def run(request: IngestRequest, server: ServerFile) -> Report:
    """Ingest, on the Ray of a running server that this process joins and leaves again.

    Raises:
        InvalidRequest: There is no such source, or the collection has no embedding model that fits it.
        CollectionNotFound: No such collection.
        InternalError: A part of the cluster failed.
    """
    started_s = time.monotonic()
    pipelines, embedding = _settings(request, server)
    if request.collection_id is None:
        raise InvalidRequest("The collection is missing.")
    collection = asyncio.run(_collection(request.collection_id, server))
    model_of(collection, ModelRegistry(embedding).models)
    request.source.check(pipelines)
    report = Report()
    with joined(server):
        # Ray reads its environment when it is imported, and joining sets that.
        import ray.exceptions  # noqa: PLC0415

        from cluster.tally import Tally  # noqa: PLC0415
        from pipelines.plan import Ingestion, stored_parcels  # noqa: PLC0415

        ingestion = Ingestion(
            request.source,
            collection,
            data_dir=Path(server.data_dir),
            cluster=ClusterSettings.model_validate(server.settings["cluster"]),
            pipelines=pipelines,
            embedding=embedding,
        )
        try:
            tally = Tally()
            with told(request.progress, lambda: {**tally.read(), "failed": report.documents_failed}):
                for parcel in stored_parcels(ingestion, tally):
                    report.add(parcel)
        except ray.exceptions.RayError as error:
            raise _of_ours(error) from error
    report.seconds = round(time.monotonic() - started_s, 3)
    return report


def dry_run(request: IngestRequest, server: ServerFile) -> dict[str, Any]:
    """Read everything without Ray, and write nothing.

    Returns:
        A `pipelines.dry_run.Forecast` as JSON values.

    Raises:
        InvalidRequest: There is no such source, or the collection has no embedding model that fits it.
        CollectionNotFound: No such collection.
    """
    pipelines, embedding = _settings(request, server)
    registry = ModelRegistry(embedding)
    model = pipelines.embedding_model
    if request.collection_id is not None:
        collection = asyncio.run(_collection(request.collection_id, server))
        model = model_of(collection, registry.models).name
    return forecast(request.source, pipelines, tokens=registry.token_counter(model)).to_json()


def _settings(request: IngestRequest, server: ServerFile) -> tuple[PipelineSettings, EmbeddingSettings]:
    pipelines = request.applied_to(PipelineSettings.model_validate(server.settings["pipelines"]))
    return pipelines, EmbeddingSettings.model_validate(server.settings["embedding"])


def _of_ours(error: Any) -> VectorayError:
    """A `ray.exceptions.RayError` as an error that says nothing of Ray."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, VectorayError):
        return cause
    _log.warning("ingestion_failed", kind=type(cause or error).__name__)
    return InternalError("The ingestion stopped because a part of the cluster failed; run it again to go on.")


async def _collection(collection_id: str, server: ServerFile) -> Collection:
    catalog = await Catalog.open(server.settings["database_url"])
    try:
        collection = await catalog.by_id(collection_id)
    finally:
        await catalog.dispose()
    if collection is None:
        raise CollectionNotFound.of(collection_id)
    return collection


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.run", description="Ingest documents.")
    parser.add_argument("source", help="a file, a folder, s3://..., gs://..., or a URL")
    parser.add_argument("--collection-id")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--urls", action="store_true", help="the source is a list of URLs")
    parser.add_argument("--text-column", help="the source is a table with this column of text")
    parser.add_argument("--id-column")
    parser.add_argument("--title-column")
    parser.add_argument("--strategy", choices=[strategy.value for strategy in ChunkingStrategy])
    parser.add_argument("--chunk-size", type=int)
    parser.add_argument("--chunk-overlap", type=int)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--report", type=Path, help="a file for the report, instead of stdout")
    parser.add_argument("--progress", type=Path, help="a file that tells how far the run is")
    return parser


def _request(options: argparse.Namespace) -> IngestRequest:
    columns = None
    if options.text_column:
        columns = TextColumns(options.text_column, options.id_column, options.title_column)
    return IngestRequest(
        SourceRequest(options.source, urls=options.urls, columns=columns),
        options.collection_id,
        strategy=ChunkingStrategy(options.strategy) if options.strategy else None,
        size_chars=options.chunk_size,
        overlap_chars=options.chunk_overlap,
        progress=options.progress,
    )


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and report. Returns the exit status."""
    options = _arguments().parse_args(arguments)
    try:
        request, server = _request(options), ServerFile.read(options.data_dir)
        report = dry_run(request, server) if options.dry_run else run(request, server).to_json()
    except VectorayError as error:
        print(error.message, file=sys.stderr)  # noqa: T201
        return 2 if isinstance(error, InvalidRequest | NotFound) else 1
    text = json.dumps(report, indent=2)
    if options.report:
        options.report.write_text(text)
    else:
        print(text)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
