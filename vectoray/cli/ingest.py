"""`vectoray ingest`: reads documents of any source into a collection."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from vectoray.cli.child import started
from vectoray.cli.exit_codes import CommandFailed, ExitCode
from vectoray.cli.ingest_progress import shown
from vectoray.cli.ingest_report import say_forecast, say_report
from vectoray.cli.options import DEFAULT_DATA_DIR, AsJson, DataDir, programs_of
from vectoray.cli.output import complain, say_json
from vectoray.cli.server_files import ServerFiles
from vectoray.client import Client, CollectionInfo
from vectoray.core.errors import CollectionExists, CollectionNotFound
from vectoray.core.ingestion import ChunkingStrategy

_ELSEWHERE = re.compile(r"(s3|gs|https?)://", re.IGNORECASE)
_LOOK_S = 0.25


def ingest(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A file or folder, s3://..., gs://..., the URL of a page or sitemap, or - for a list of "
            "URLs on stdin."
        ),
    ],
    *,
    collection: Annotated[
        str, typer.Option("--collection", "-c", help="Name of the collection; made if it is not there.")
    ],
    urls: Annotated[bool, typer.Option("--urls", help="SOURCE is a file with a URL a line.")] = False,
    text_column: Annotated[
        str | None,
        typer.Option(help="SOURCE is a table (Parquet, Arrow, CSV, JSON lines) with this column of text."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="The table's column that tells rows from others; else their numbers.")
    ] = None,
    title_column: Annotated[str | None, typer.Option(help="The table's column of titles.")] = None,
    strategy: Annotated[
        ChunkingStrategy | None, typer.Option(help="What is kept whole; else as the settings say.")
    ] = None,
    chunk_size: Annotated[int | None, typer.Option(help="Characters in a chunk at most.")] = None,
    chunk_overlap: Annotated[
        int | None, typer.Option(help="Characters that a chunk repeats at most.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read everything, say what would be done, write nothing.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Read documents into a collection; again on the same source to update it.

    A document that cannot be read is listed at the end and does not stop the others.
    """
    programs = programs_of(context)
    files = ServerFiles(data_dir)
    if text_column is None and (id_column or title_column):
        raise CommandFailed("--id-column and --title-column need --text-column.", ExitCode.USAGE)
    if text_column is not None and (urls or source == "-"):
        raise CommandFailed("A source is either a list of URLs or a table.", ExitCode.USAGE)
    api_url = files.require_running().api_url
    with tempfile.TemporaryDirectory(prefix="vectoray-") as folder:
        # The list's name is in what is said of its lines.
        place = _spooled(Path(folder) / "standard input") if source == "-" else _place(source)
        with Client(api_url) as client:
            target = (
                _find_collection(client, collection) if dry_run else _ensure_collection(client, collection)
            )
        options = {
            "--collection-id": target and target.id,
            "--data-dir": files.data_dir,
            "--text-column": text_column,
            "--id-column": id_column,
            "--title-column": title_column,
            "--strategy": strategy and strategy.value,
            "--chunk-size": chunk_size,
            "--chunk-overlap": chunk_overlap,
        }
        command = [*programs.ingest, *_given(options)]
        command += ["--urls"] if urls or source == "-" else []
        command += ["--dry-run"] if dry_run else []
        report = _run(command, place, Path(folder))
    if as_json:
        say_json(report)
    elif dry_run:
        say_forecast(report)
    else:
        say_report(report, collection)


def _place(source: str) -> str:
    """The source as a program in another folder finds it."""
    if _ELSEWHERE.match(source):
        return source
    path = Path(source)
    if not path.exists():
        raise CommandFailed(f"There is no file or folder '{source}'.", ExitCode.USAGE)
    return str(path.resolve())


def _spooled(path: Path) -> str:
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return str(path)


def _given(options: dict[str, Any]) -> Sequence[str]:
    # As one word: a value may begin with a hyphen.
    return [f"{name}={value}" for name, value in options.items() if value is not None]


def _run(command: Sequence[str], place: str, folder: Path) -> dict[str, Any]:
    """Run the program to its end, showing how far it is.

    Raises:
        typer.Exit: It failed, and has said why on stderr, which is ours.
    """
    report, progress = folder / "report.json", folder / "progress.json"
    told = [f"--report={report}", f"--progress={progress}", "--", place]
    with started([*command, *told]) as child, shown(progress) as look:
        while (returncode := _ended(child)) is None:
            look()
    if returncode != ExitCode.OK:
        raise typer.Exit(returncode if returncode > 0 else ExitCode.FAILURE)
    found: dict[str, Any] = orjson.loads(report.read_bytes())
    return found


def _ended(child: "subprocess.Popen[bytes]") -> int | None:
    """The exit status, once there is one; waits a moment for it."""
    try:
        return child.wait(_LOOK_S)
    except subprocess.TimeoutExpired:
        return None


def _find_collection(client: Client, name: str) -> CollectionInfo | None:
    try:
        return client.collection(name)
    except CollectionNotFound:
        return None


def _ensure_collection(client: Client, name: str) -> CollectionInfo:
    found = _find_collection(client, name)
    if found is not None:
        return found
    models = client.models()
    if not models:
        raise CommandFailed("The server has no embedding model, so it cannot ingest documents.")
    try:
        client.create_collection(name, models[0].dimensions)
    except CollectionExists:
        pass  # made by another client a moment ago
    else:
        # Not on stdout, where a program may read the report.
        complain(
            f"Made the collection '{name}' with {models[0].dimensions} dimensions, for {models[0].name}."
        )
    return client.collection(name)
