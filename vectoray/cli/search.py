"""`vectoray search`: asks a collection in words and prints the hits."""

from dataclasses import asdict
from typing import Annotated

import typer

from vectoray.cli.options import DEFAULT_DATA_DIR, ApiKey, AsJson, DataDir, ServerUrl, connected
from vectoray.cli.output import printable, say, say_json
from vectoray.client import QueryHit

_SNIPPET_CHARS = 200


def search(
    collection: Annotated[str, typer.Argument(help="Name of the collection.")],
    text: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, max=1000, help="How many hits.")] = 5,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    url: ServerUrl = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask a collection in words and print the closest texts, best first."""
    with connected(data_dir, url, api_key) as client:
        answer = client.query(collection, text=text, top_k=top_k)
    if as_json:
        say_json(asdict(answer))
    elif not answer.hits:
        say(f"Nothing found in '{collection}'.")
    else:
        for rank, hit in enumerate(answer.hits, start=1):
            _say_hit(rank, hit)


def _say_hit(rank: int, hit: QueryHit) -> None:
    title = printable(str(hit.payload.get("title") or hit.id))
    say(f"{rank:3}. {hit.score:.3f}  {title}")
    source = hit.payload.get("source")
    if source and (source != title or hit.payload.get("page") is not None):
        page = hit.payload.get("page")
        say(f"            {printable(str(source))}" + (f", page {page}" if page is not None else ""))
    snippet = printable(hit.text or str(hit.payload.get("content") or ""))
    if snippet:
        say(f"            {_shortened(snippet)}")


def _shortened(text: str) -> str:
    """At most `_SNIPPET_CHARS`, cut between words."""
    if len(text) <= _SNIPPET_CHARS:
        return text
    return text[:_SNIPPET_CHARS].rsplit(" ", 1)[0] + " ..."
