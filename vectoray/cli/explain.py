"""`vectoray explain`: says why a document is found, or is not."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vectoray.cli.exit_codes import CommandFailed, ExitCode
from vectoray.cli.explanation import say_document
from vectoray.cli.options import DEFAULT_DATA_DIR, ApiKey, AsJson, DataDir, ServerUrl, connected
from vectoray.cli.output import printable, say, say_json
from vectoray.client import Client, ExplainedDocument
from vectoray.core.errors import JobNotFound


def explain(
    source: Annotated[
        str, typer.Argument(help="A file, a URL, the name of an uploaded file, or the id of a job.")
    ],
    *,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Where it should be; a job's is known.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: ServerUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Say step by step why a document is found in a collection, or is not."""
    with connected(data_dir, url, api_key) as client:
        documents = client.explain(_collection_id(client, source, collection), source, uri=_uri_of(source))
    if as_json:
        say_json([asdict(document) for document in documents])
        return
    for document in documents:
        _say(document)


def _collection_id(client: Client, source: str, name: str | None) -> str:
    if name is not None:
        return client.collection(name).id
    try:
        return client.job(source).collection_id
    except JobNotFound:
        raise CommandFailed(
            f"'{printable(source)}' is the id of no job that you may see; for anything else, say which "
            "collection it should be in, with --collection.",
            ExitCode.USAGE,
        ) from None


def _uri_of(source: str) -> str | None:
    """The URI under which a file of this machine was ingested, if there is one."""
    path = Path(source)
    return path.resolve().as_uri() if path.is_file() else None


def _say(document: ExplainedDocument) -> None:
    told = "found" if document.is_found else "not found, or not all of it"
    job = f", job {document.job_id} {document.status}" if document.job_id else ""
    say(f"{printable(document.source)}: {told}{job}")
    say_document(document)
