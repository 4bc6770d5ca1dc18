"""Cuts what a source lists into lists of a few documents, which workers take one at a time."""

from collections.abc import Iterator

from pipelines.sources import Document, TextDocument, Unread
from vectoray.core.errors import VectorayError

_MAX_ITEMS = 64
# The text of rows travels with them.
_MAX_CHARS = 2**20

Listed = list[Document | Unread]


def in_lists(items: Iterator[Document | Unread], *, first: int = 4) -> Iterator[Listed]:
    """Cut; the first lists are short, so that the workers of a small run share it.

    Nothing is raised: what ends the listing is the last item, `Unread`.

    Args:
        items: What a source lists.
        first: How long the first list is; the next are twice as long as those before them, up to 64.
    """
    held: Listed = []
    most, chars = first, 0
    for item in _to_its_end(items):
        held.append(item)
        chars += len(item.text) if isinstance(item, TextDocument) else 0
        if len(held) >= most or chars >= _MAX_CHARS:
            yield held
            held, chars, most = [], 0, min(2 * most, _MAX_ITEMS)
    if held:
        yield held


def _to_its_end(items: Iterator[Document | Unread]) -> Iterator[Document | Unread]:
    try:
        yield from items
    except VectorayError as error:
        yield Unread("the rest of the source", error.message)
