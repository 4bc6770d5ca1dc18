"""How lists of documents are cut from a source, and what its end in the middle leaves."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.listing import in_lists
from pipelines.pages import fetch_pages
from pipelines.progress import told
from pipelines.sources import Document, PageDocument, TextDocument, Unread, WebDocument
from tests.unit.pipelines.pages import SomePages
from vectoray.core.errors import Unavailable


def pages(count: int) -> Iterator[Document | Unread]:
    return (WebDocument(f"https://docs.example/{number}") for number in range(count))


def test_the_first_lists_are_short_and_nothing_is_lost() -> None:
    lists = list(in_lists(pages(200)))
    assert [len(items) for items in lists] == [4, 8, 16, 32, 64, 64, 12]
    assert [item for items in lists for item in items] == list(pages(200))


def test_lists_are_made_while_the_source_is_listed() -> None:
    def endless() -> Iterator[Document | Unread]:
        while True:
            yield WebDocument("https://docs.example/")

    assert len(next(in_lists(endless()))) == 4


def test_long_rows_are_few_to_a_list() -> None:
    rows: Iterator[Document | Unread] = iter([TextDocument("t:1", "t", "x" * 2**20)] * 3)
    assert [len(items) for items in in_lists(rows)] == [1, 1, 1]


def test_a_source_that_breaks_off_ends_with_the_reason() -> None:
    def breaking() -> Iterator[Document | Unread]:
        yield WebDocument("https://docs.example/")
        raise Unavailable("The bucket failed.")

    (items,) = in_lists(breaking())
    assert items[1] == Unread("the rest of the source", "The bucket failed.")


async def test_pages_are_fetched_in_their_places_and_failures_are_reasons() -> None:
    fetcher = SomePages(
        {"https://a.example/": ("text/html", b"<p>Hi</p>"), "https://b.example/": ("image/png", b"x")}
    )
    gone = Unread("x", "Gone.")
    listed: list[Document | Unread] = [
        WebDocument("https://b.example/"),
        gone,
        WebDocument("https://a.example/"),
        WebDocument("https://c/"),
    ]
    assert [item.source for item in await fetch_pages(listed, fetcher)] == [item.source for item in listed]
    found = await fetch_pages(listed, fetcher)
    assert found[0] == Unread("https://b.example/", "Documents of the type image/png cannot be read.")
    assert found[1] is gone
    assert isinstance(found[2], PageDocument)
    assert found[2].data.endswith(b"<p>Hi</p>")
    assert found[3] == Unread("https://c/", "Page not found (404).")


def test_progress_is_told_once_more_at_the_end_and_never_stops_a_run(tmp_path: Path) -> None:
    counts = {"read": 1}
    with told(tmp_path / "progress.json", lambda: counts):
        counts["read"] = 2
    assert (tmp_path / "progress.json").read_bytes() == b'{"read":2}'
    with told(tmp_path / "missing" / "progress.json", lambda: counts):
        pass
    with told(None, lambda: counts):
        pass
