"""Sitemaps: what they list, and what those of a hostile site cannot do."""

import gzip
import tracemalloc
from collections.abc import Callable

import pytest

from pipelines.sources import Sitemap, SitemapLimits, Unread, WebDocument
from vectoray.core.errors import NotFound

ROOT = "https://www.site.example/sitemap.xml"
NAMESPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


def pages(*urls: str) -> bytes:
    return (
        f"<urlset {NAMESPACE}>{''.join(f'<url><loc> {url} </loc></url>' for url in urls)}</urlset>".encode()
    )


def index(*urls: str) -> bytes:
    listed = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return f'<?xml version="1.0"?>\n<sitemapindex {NAMESPACE}>{listed}</sitemapindex>'.encode()


def page(number: int) -> str:
    return f"https://site.example/{number}"


def site(**files: bytes) -> Callable[[str], bytes]:
    """Gets what a site has at ``/NAME.xml``."""

    def fetch(url: str) -> bytes:
        name = url.rpartition("/")[2].removesuffix(".xml")
        if name not in files:
            raise NotFound("Page not found (404).")
        return files[name]

    return fetch


def listed(limits: SitemapLimits | None = None, **files: bytes) -> list[WebDocument | Unread]:
    return list(Sitemap(ROOT, site(**files), limits=limits or SitemapLimits()))


def test_pages_of_nested_sitemaps_are_listed_once_in_order() -> None:
    found = listed(
        sitemap=index("https://site.example/a.xml", "https://site.example/b.xml"),
        a=pages(page(1), page(2)),
        b=gzip.compress(pages(page(2), page(3))),
    )
    assert found == [WebDocument(page(number)) for number in (1, 2, 3)]


def test_a_sitemap_may_be_lines_of_text() -> None:
    found = listed(sitemap=b"\xef\xbb\xbf" + f"{page(1)}\n\n{page(2)}\n".encode())
    assert found == [WebDocument(page(1)), WebDocument(page(2))]


def test_urls_of_images_are_no_pages() -> None:
    image = f"<image><loc>{page(2)}</loc></image>"
    body = f"<urlset><url><loc>{page(1)}</loc>{image}</url></urlset>"
    assert listed(sitemap=body.encode()) == [WebDocument(page(1))]


def test_a_sitemap_that_fails_is_told_and_the_others_are_read() -> None:
    found = listed(
        sitemap=index("https://site.example/gone.xml", "https://site.example/b.xml"), b=pages(page(1))
    )
    assert found == [Unread("https://site.example/gone.xml", "Page not found (404)."), WebDocument(page(1))]


def test_other_hosts_and_other_schemes_are_refused() -> None:
    found = listed(sitemap=pages("http://10.0.0.1/admin", "file:///etc/passwd", page(1)))
    assert found == [
        Unread("http://10.0.0.1/admin", "The page is of another host than the sitemap."),
        Unread(ROOT, "The URL must begin with 'http://' or 'https://'."),
        WebDocument(page(1)),
    ]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", None),
        (b"<html><body>Not here</body></html>", "Not a sitemap"),
        (b"<urlset><url>", "damaged"),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><urlset>&b;</urlset>', "document type"),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><urlset/>', "document type"),
        (b'<?xml version="1.0" encoding="nonsense"?><urlset/>', "damaged"),
        (b"<urlset>" + b"<a>" * 100_000, "nested too deeply"),
        (gzip.compress(b" " * 2_000_000, mtime=0), "larger than 1000000 bytes"),
        (gzip.compress(pages(page(1)), mtime=0)[:-12], "damaged"),
        (b"\x1f\x8bnot gzip", "damaged"),
        (b"<urlset>" + b" " * 1_000_000, "larger than 1000000 bytes"),
    ],
)
def test_what_is_no_sitemap_is_told_with_a_reason(body: bytes, reason: str | None) -> None:
    found = listed(SitemapLimits(max_bytes=1_000_000), sitemap=body)
    assert len(found) == (reason is not None)
    assert all(isinstance(one, Unread) and (reason or "") in one.reason for one in found)


def test_a_gzip_bomb_is_not_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        assert len(listed(SitemapLimits(max_bytes=1_000_000), sitemap=bomb)) == 1
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_what_is_before_the_damage_is_listed() -> None:
    found = listed(sitemap=pages(page(1))[:-9] + b"<")
    assert found[0] == WebDocument(page(1))
    assert isinstance(found[1], Unread)


def test_sitemaps_that_list_each_other_end() -> None:
    assert listed(sitemap=index(ROOT, "https://site.example/a.xml"), a=index(ROOT)) == []


def test_depth_sitemaps_and_pages_are_limited() -> None:
    def endless(url: str) -> bytes:
        return index(f"{url}x", f"{url}y")

    deep = list(Sitemap(ROOT, endless, limits=SitemapLimits(max_depth=2)))
    assert [one.source for one in deep] == [
        f"{ROOT}{end}" for end in ("xxx", "xxy", "xyx", "xyy", "yxx", "yxy", "yyx", "yyy")
    ]
    wide = list(Sitemap(ROOT, endless, limits=SitemapLimits(max_depth=1000, max_sitemaps=5)))
    assert all(isinstance(one, Unread) and "more than 5 sitemaps" in one.reason for one in wide)
    many = listed(SitemapLimits(max_pages=2), sitemap=pages(page(1), page(2), page(3)))
    assert many[2] == Unread(ROOT, "The site has more than 2 pages.")
