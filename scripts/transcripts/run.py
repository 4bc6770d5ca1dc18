"""Asks a running server everything that the API pages ask, and writes its answers into them.

    python -m scripts.transcripts.run            writes docs/api/*.md anew where a server says something else
    python -m scripts.transcripts.run --check    writes nothing, and fails where it would

The examples of the OpenAPI documents are made of the same answers.

It starts a server of its own, as a person would, with an empty data folder.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path

import httpx
from fastapi.routing import APIRoute

from scripts.transcripts.answers import Answers
from scripts.transcripts.openapi_examples import openapi_examples
from scripts.transcripts.page import Told, examples, layout, with_answers
from scripts.transcripts.replay import replay
from serve.app import SURFACES
from serve.surface import mount
from serve.surfaces.webcontent.surface import WEBCONTENT

PAGES = Path(__file__).parents[2] / "docs" / "api"
# What the Vectory page asks in words.
DOCUMENT = ("durability.md", "# Durability\n\nAn insert that was answered is on the disk.\n")
# The others' pages need what no server does by itself yet: a URL that is fetched. A test replays them.
ASKED = [surface for surface in SURFACES if surface is not WEBCONTENT]
# Scores differ a little from one processor to another.
SCORES = 1e-2


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 1 when a page is not what a server says."""
    parser = argparse.ArgumentParser(prog="python -m scripts.transcripts.run", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    differing = 0
    with _server() as (url, data_dir):
        for surface in ASKED:
            page = PAGES / f"{surface.name}.md"
            text = page.read_text()
            told = asyncio.run(_told(text, url, data_dir))
            app = mount(surface, anonymous_allowed=True)[1]
            paths = [route.path_format for route in app.routes if isinstance(route, APIRoute)]
            shown = openapi_examples(paths, told)
            made = {page: with_answers(text, told), surface.examples: f"{layout(shown)}\n"}
            differing += sum([_differs(path, content, check=check) for path, content in made.items()])
    print(f"{len(ASKED)} families asked, {differing} files {'would differ' if check else 'written anew'}.")
    return 1 if check and differing else 0


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


def _ingest(data_dir: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        name, content = DOCUMENT
        (Path(folder) / name).write_text(content)
        _vectoray("ingest", folder, "--collection", "notes", "--data-dir", data_dir)


@contextmanager
def _server() -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        _vectoray("up", "--detach", "--data-dir", data_dir, "--port", port)
        try:
            yield f"http://127.0.0.1:{port}", data_dir
        finally:
            _vectoray("down", "--data-dir", data_dir)


def _vectoray(*arguments: object) -> None:
    command = [sys.executable, "-m", "vectoray.cli.main", *map(str, arguments)]
    # What is shown of jobs must not depend on how far one happens to be.
    environment = {**os.environ, "VECTORAY_CLUSTER__INGESTORS": "0"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=environment)
    if done.returncode:
        raise SystemExit(f"vectoray {arguments[0]} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    raise SystemExit(main())
