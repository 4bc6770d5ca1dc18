"""Asks a running server everything that the API pages ask, and writes its answers into them.

    python -m scripts.transcripts.run            writes docs/api/*.md anew where a server says something else
    python -m scripts.transcripts.run --check    writes nothing, and fails where it would

The examples of the OpenAPI documents are made of the same answers.

It starts servers of its own, as a person would, with an empty data folder: one that ingests nothing, since
what is shown of jobs must not depend on how far one happens to be; and one that fetches the page of a small
site.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path
from typing import Any

import httpx
from fastapi.routing import APIRoute

from scripts.transcripts.answers import Answers
from scripts.transcripts.openapi_examples import openapi_examples
from scripts.transcripts.page import Told, examples, layout, with_answers
from scripts.transcripts.replay import replay
from scripts.transcripts.site import Site, serving
from serve.app import SURFACES
from serve.surface import Surface, mount
from serve.surfaces.webcontent.surface import WEBCONTENT

PAGES = Path(__file__).parents[2] / "docs" / "api"
# What the Vectory page asks in words.
DOCUMENT = ("durability.md", "# Durability\n\nAn insert that was answered is on the disk.\n")
# What the Web Content page has fetched.
SITE = "https://example.com"
SITE_IN_ANOTHER_SPELLING = "HTTPS://EXAMPLE.com:443"
ARTICLE = """<html><title>Vector databases</title><body><main>
<h2>What it is for</h2><p>A vector database finds what is similar in meaning.</p>
<h2>How it works</h2><p>It keeps vectors in a graph, and walks from neighbour to neighbour.</p>
</main></body></html>"""
# The server answers before its ingestor has loaded the model.
FETCHED_WITHIN_S = 150
# Scores differ a little from one processor to another.
SCORES = 1e-2


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when a page is not what a server says."""
    parser = argparse.ArgumentParser(prog="python -m scripts.transcripts.run", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    differing = 0
    with _server(VECTORAY_CLUSTER__INGESTORS="0") as (url, data_dir):
        for surface in SURFACES:
            if surface is not WEBCONTENT:
                differing += _ask(surface, lambda text: _told(text, url, data_dir), check=check)
    site = Site({"/article": ARTICLE})
    with serving(site), _server(VECTORAY_PIPELINES__FETCH__ALLOW_HOSTS='["127.0.0.1"]') as (url, _):
        differing += _ask(WEBCONTENT, lambda text: _told_of_pages(text, url, site), check=check)
    print(f"{len(SURFACES)} families asked, {differing} files {'would differ' if check else 'written anew'}.")
    return 1 if check and differing else 0


def _ask(surface: Surface, ask: Callable[[str], Coroutine[Any, Any, list[Told]]], *, check: bool) -> int:
    """How many of a family's files are not what a server says."""
    page = PAGES / f"{surface.name}.md"
    text = page.read_text()
    told = asyncio.run(ask(text))
    app = mount(surface, anonymous_allowed=True)[1]
    paths = [route.path_format for route in app.routes if isinstance(route, APIRoute)]
    shown = openapi_examples(paths, told)
    made = {page: with_answers(text, told), surface.examples: f"{layout(shown)}\n"}
    return sum([_differs(path, content, check=check) for path, content in made.items()])


def _differs(path: Path, content: str, *, check: bool) -> bool:
    before = path.read_text() if path.exists() else ""
    if before == content:
        return False
    if check:
        lines = before.splitlines(keepends=True), content.splitlines(keepends=True)
        sys.stdout.writelines(unified_diff(lines[0], lines[1], path.name))
    else:
        path.write_text(content)
    return True


async def _told(text: str, url: str, data_dir: Path) -> list[Told]:
    """What this server says to a page. What other pages made is taken away first."""
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:
        for collection in (await client.get("/api/v1/collections")).json():
            await client.delete(f"/api/v1/collections/{collection['name']}")
        if "/notes" in text or '"notes"' in text:
            _ingest(data_dir)
        return await replay(examples(text), client, Answers(tolerance=SCORES))


async def _told_of_pages(text: str, url: str, site: Site) -> list[Told]:
    """What this server says to the Web Content page, whose site is ``site``."""
    known = {SITE: site.url(""), SITE_IN_ANOTHER_SPELLING: site.url("").upper()}
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client:

        async def wait_for_a_page(response: httpx.Response) -> None:
            """The page shows a URL as it is submitted, and then as it is stored."""
            submitted = response.request
            if submitted.url.path.endswith("/urls") and response.status_code == httpx.codes.ACCEPTED:
                path = f"{submitted.url.path}/{response.json()['url_id']}"
                async with asyncio.timeout(FETCHED_WITHIN_S):
                    await _stored(client, path, submitted.headers["Authorization"])

        answers = Answers(known=known, tolerance=SCORES)
        return await replay(examples(text), client, answers, on_answer=wait_for_a_page)


async def _stored(client: httpx.AsyncClient, path: str, authorization: str) -> None:
    while True:
        url = (await client.get(path, headers={"Authorization": authorization})).json()
        if url["status"] == "stored":
            return
        if url["status"] == "failed":
            raise ValueError(f"The page was not fetched: {url['failure_reason']}")
        await asyncio.sleep(0.1)


def _ingest(data_dir: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        name, content = DOCUMENT
        (Path(folder) / name).write_text(content)
        _vectoray("ingest", folder, "--collection", "notes", "--data-dir", data_dir)


@contextmanager
def _server(**variables: str) -> Iterator[tuple[str, Path]]:
    """A server with these settings: its URL and its data folder."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        _vectoray("up", "--detach", "--data-dir", data_dir, "--port", port, variables=variables)
        try:
            yield f"http://127.0.0.1:{port}", data_dir
        finally:
            _vectoray("down", "--data-dir", data_dir)


def _vectoray(*arguments: object, variables: Mapping[str, str] | None = None) -> None:
    command = [sys.executable, "-m", "vectoray.cli.main", *map(str, arguments)]
    environment = {**os.environ, **(variables or {})}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=environment)
    if done.returncode:
        raise SystemExit(f"vectoray {arguments[0]} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    raise SystemExit(main())
