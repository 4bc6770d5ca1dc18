"""`vectoray jobs`: lists ingestion jobs, shows and follows one, cancels and retries it."""

import time
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vectoray.cli.exit_codes import CommandFailed, ExitCode
from vectoray.cli.explanation import say_document, time_of
from vectoray.cli.options import DEFAULT_DATA_DIR, ApiKey, AsJson, DataDir, ServerUrl, connected
from vectoray.cli.output import printable, say, say_json
from vectoray.client import Client, ExplainedDocument, JobInfo

jobs = typer.Typer(no_args_is_help=True, help="List ingestion jobs; show, cancel and retry one.")

_POLL_S = 0.5

_JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]


@jobs.command("list")
def list_jobs(
    *,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Only jobs of this collection.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(help="Only jobs that are pending, processing, completed, failed or cancelled."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 20,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: ServerUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with connected(data_dir, url, api_key) as client:
        page = client.jobs(collection=collection, status=status, limit=limit)
    if as_json:
        say_json(asdict(page))
        return
    for job in page.items:
        say(f"{job.id}  {job.status:10}  {_chunks(job):>13}  {printable(job.file_name)}")
        if job.error:
            say(f"{'':38}{printable(job.error)}")
    if len(page.items) < page.total:
        say(f"{page.total - len(page.items)} more; see --limit.")
    elif not page.items:
        say("No jobs.")


@jobs.command()
def show(
    job_id: _JobId,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for the job's end.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: ServerUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show a job, and how far its document is; with --follow, wait until it is completed."""
    with connected(data_dir, url, api_key) as client:
        job = _at_its_end(client, job_id) if follow else client.job(job_id)
        documents = client.explain(job.collection_id, job.id)
    if as_json:
        say_json({"job": asdict(job), "documents": [asdict(document) for document in documents]})
    else:
        _say_job(job, documents)
    if follow and job.status != "completed":
        raise typer.Exit(ExitCode.FAILURE)


@jobs.command()
def cancel(
    job_id: _JobId, *, data_dir: DataDir = DEFAULT_DATA_DIR, url: ServerUrl = None, api_key: ApiKey = None
) -> None:
    """Cancel a job; what it has stored is removed. Needs an API key."""
    with connected(data_dir, url, api_key) as client:
        client.cancel_job(job_id)
    say(f"Job {job_id} is cancelled.")


@jobs.command()
def retry(
    job_id: _JobId,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: ServerUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Let a job that failed, or was cancelled, run anew. Needs an API key."""
    with connected(data_dir, url, api_key) as client:
        job = client.retry_job(job_id)
    if as_json:
        say_json(asdict(job))
    else:
        say(f"Job {job.id} is {job.status}.")


def _at_its_end(client: Client, job_id: str) -> JobInfo:
    """The job once it is finished, with a bar on a terminal until then.

    Raises:
        CommandFailed: Nobody is there to run it.
    """
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=None)
        while not (job := client.job(job_id)).is_finished:
            if job.error:
                raise CommandFailed(job.error)
            progress.update(
                bar,
                description=job.status,
                total=job.total_chunks or None,
                completed=job.processed_chunks + job.failed_chunks,
            )
            time.sleep(_POLL_S)
    return job


def _say_job(job: JobInfo, documents: list[ExplainedDocument]) -> None:
    say(f"job       {job.id}")
    say(f"file      {printable(job.file_name)}, {job.size_bytes} bytes")
    say(f"state     {job.status}" + (f": {printable(job.error)}" if job.error else ""))
    say(f"chunks    {_chunks(job) or 'not known yet'}")
    say(f"created   {time_of(job.created_at)}")
    if job.started_at:
        say(f"started   {time_of(job.started_at)}")
    if job.completed_at:
        say(f"ended     {time_of(job.completed_at)}")
    for document in documents:
        say(f"tries     {document.tries}")
        if document.worker:
            say(f"ingestor  {document.worker}")
        say_document(document)


def _chunks(job: JobInfo) -> str:
    return f"{job.processed_chunks} of {job.total_chunks}" if job.total_chunks else ""
