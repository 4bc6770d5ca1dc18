"""`vectoray ingest`: reads a folder of documents into a collection."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import orjson
import typer

from vectoray.cli.child import started
from vectoray.cli.exit_codes import CommandFailed, ExitCode
from vectoray.cli.options import DEFAULT_DATA_DIR, DataDir, programs_of
from vectoray.cli.output import printable, say
from vectoray.cli.server_files import ServerFiles
from vectoray.client import Client, CollectionInfo
from vectoray.core.errors import CollectionExists, CollectionNotFound


@dataclass(frozen=True, slots=True)
class Unread:
    """A document of which nothing was stored, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an ingestion run did.

    Attributes:
        documents: How many documents were found.
        failed: Documents that could not be read.
        skipped: Files that are no documents.
        seconds: How long the run took.
    """

    documents: int
    failed: Sequence[Unread]
    skipped: Sequence[Unread]
    chunks_written: int
    chunks_unchanged: int
    chunks_removed: int
    seconds: float

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> Self:
        """Read the report that `pipelines.run` writes."""
        return cls(
            documents=int(json["documents"]),
            failed=[Unread(item["source"], item["reason"]) for item in json["failed"]],
            skipped=[Unread(item["source"], item["reason"]) for item in json["skipped"]],
            chunks_written=int(json["chunks_written"]),
            chunks_unchanged=int(json["chunks_unchanged"]),
            chunks_removed=int(json["chunks_removed"]),
            seconds=float(json["seconds"]),
        )


def ingest(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(exists=True, help="A document, or a folder of documents.")],
    *,
    collection: Annotated[
        str, typer.Option("--collection", "-c", help="Name of the collection; made if it is not there.")
    ],
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Read HTML, Markdown, text and PDF documents into a collection; again on the same folder to update it.

    A document that cannot be read is listed at the end and does not stop the others.
    """
    programs = programs_of(context)
    files = ServerFiles(data_dir)
    with Client(files.require_running().api_url) as client:
        target = _ensure_collection(client, collection)
    with tempfile.TemporaryDirectory(prefix="vectoray-") as folder:
        report_path = Path(folder) / "report.json"
        command = [*programs.ingest, str(path.resolve()), "--collection-id", target.id]
        command += ["--data-dir", str(files.data_dir), "--report", str(report_path)]
        with started(command) as child:
            returncode = child.wait()
        if returncode != ExitCode.OK:
            # The program has said why on stderr, which is ours.
            raise typer.Exit(returncode if returncode > 0 else ExitCode.FAILURE)
        report = Report.from_json(orjson.loads(report_path.read_bytes()))
    _say_report(report, collection)


def _ensure_collection(client: Client, name: str) -> CollectionInfo:
    try:
        return client.collection(name)
    except CollectionNotFound:
        pass
    models = client.models()
    if not models:
        raise CommandFailed("The server has no embedding model, so it cannot ingest documents.")
    try:
        client.create_collection(name, models[0].dimensions)
    except CollectionExists:
        pass  # made by another client a moment ago
    else:
        say(f"Made the collection '{name}' with {models[0].dimensions} dimensions, for {models[0].name}.")
    return client.collection(name)


def _say_report(report: Report, collection: str) -> None:
    say(f"Ingested into '{collection}' in {report.seconds:.1f} s:")
    say(f"  documents         {report.documents}")
    say(f"  chunks written    {report.chunks_written}")
    say(f"  chunks unchanged  {report.chunks_unchanged}")
    say(f"  chunks removed    {report.chunks_removed}")
    for heading, unread in (("could not be read", report.failed), ("skipped", report.skipped)):
        if unread:
            say(f"{len(unread)} {heading}:")
        for item in unread:
            say(f"  {printable(item.source)}: {printable(item.reason)}")
