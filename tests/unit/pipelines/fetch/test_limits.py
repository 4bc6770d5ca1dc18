"""What a hostile or broken server sends ends at a limit, with a reason."""

import asyncio
import contextlib
import gzip
import tracemalloc
import zlib
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from pipelines.fetch import Fetcher, FetchError, FetchFailure, Page
from pipelines.fetch.body import Body
from tests.unit.pipelines.fetch.conftest import settings
from tests.unit.pipelines.fetch.site import Request, Site, page, response

ONE_TRY: dict[str, Any] = {"max_tries": 1}
TEXT = b"<!doctype html>" + b"<p>Words and words.</p>" * 500


async def get(opened: AsyncExitStack, url: str, **changes: Any) -> Page:
    fetcher = await opened.enter_async_context(Fetcher(settings(**changes)))
    found = await fetcher.fetch(url)
    assert isinstance(found, Page)
    return found


async def failure(opened: AsyncExitStack, url: str, **changes: Any) -> FetchError:
    with pytest.raises(FetchError) as raised:
        await get(opened, url, **changes)
    return raised.value


async def test_a_page_of_the_limit_is_read_and_one_byte_more_is_not(
    site: Site, opened: AsyncExitStack
) -> None:
    site.answers["/"] = response(TEXT)
    assert (await get(opened, site.url("/"), max_page_bytes=len(TEXT))).body == TEXT
    error = await failure(opened, site.url("/"), max_page_bytes=len(TEXT) - 1)
    assert error.reason is FetchFailure.TOO_LARGE
    assert str(len(TEXT) - 1) in error.message


async def test_an_endless_body_ends_at_the_limit(site: Site, opened: AsyncExitStack) -> None:
    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    site.answers["/"] = endless
    assert (await failure(opened, site.url("/"), max_page_bytes=10**6)).reason is FetchFailure.TOO_LARGE


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_ends_at_the_limit_and_not_in_memory(
    encoding: str, site: Site, opened: AsyncExitStack
) -> None:
    packer = zlib.compressobj(9, wbits=31 if encoding == "gzip" else 15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(12)) + packer.flush()
    assert len(bomb) < 10**5
    site.answers["/"] = response(bomb, Content_Encoding=encoding)
    tracemalloc.start()
    try:
        error = await failure(opened, site.url("/"), max_page_bytes=10**6)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.reason is FetchFailure.TOO_LARGE
    assert peak_bytes < 8 * 2**20


@pytest.mark.parametrize(
    ("start", "nothing", "reason"),
    [
        (gzip.compress(b"", mtime=0)[:10], b"\0\0\0\xff\xff", FetchFailure.TOO_LARGE),  # an empty block
        (b"", gzip.compress(b"", mtime=0), FetchFailure.BAD_RESPONSE),
    ],
    ids=["blocks", "members"],
)
async def test_compressed_nothing_does_not_come_for_ever(
    start: bytes, nothing: bytes, reason: FetchFailure, site: Site, opened: AsyncExitStack
) -> None:
    async def endless(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + start)
        while True:
            writer.write(nothing * 1000)
            await writer.drain()

    site.answers["/"] = endless
    assert (await failure(opened, site.url("/"), max_page_bytes=10**5)).reason is reason


@pytest.mark.parametrize("size", [0, 1, 2**18 - 1, 2**18, 2**18 + 1, 2**19 + 7])
@pytest.mark.parametrize("arriving", [7, 100, 10_000])
def test_no_byte_is_lost_between_steps(size: int, arriving: int) -> None:
    packed = gzip.compress(bytes(size), mtime=0)
    body = Body("gzip", size + 100)
    for start in range(0, len(packed), arriving):
        body.feed(packed[start : start + arriving])
    assert body.finish() == bytes(size)


def test_what_zlib_holds_back_at_the_end_of_a_step_is_read() -> None:
    for size in range(2**18 + 18, 2**18 + 30):
        packer = zlib.compressobj(9, wbits=-15)
        body = Body("deflate", size)
        body.feed(packer.compress(bytes(size)) + packer.flush())
        assert body.finish() == bytes(size)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("GZIP", gzip.compress(TEXT[:99], mtime=0) + gzip.compress(TEXT[99:], mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT, wbits=-15)),
        ("identity", TEXT),
    ],
)
async def test_compressed_pages_are_read(
    encoding: str, packed: bytes, site: Site, opened: AsyncExitStack
) -> None:
    site.answers["/"] = response(packed, Content_Encoding=encoding)
    assert (await get(opened, site.url("/"))).body == TEXT


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)[:-9]),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"junk"),
        ("br", TEXT),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT, mtime=0), mtime=0)),
    ],
)
async def test_what_does_not_decompress_is_refused(
    encoding: str, packed: bytes, site: Site, opened: AsyncExitStack
) -> None:
    site.answers["/"] = response(packed, Content_Encoding=encoding)
    assert (await failure(opened, site.url("/"))).reason is FetchFailure.BAD_RESPONSE


async def test_only_what_can_be_decompressed_is_asked_for(
    site: Site, opened: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What aiohttp asks for where such a package happens to be installed.
    monkeypatch.setattr(
        aiohttp.ClientRequest, "DEFAULT_HEADERS", {"Accept-Encoding": "gzip, deflate, br, zstd"}
    )
    site.answers["/"] = page()
    await get(opened, site.url("/"))
    assert {request.headers["accept-encoding"] for request in site.requests} == {"gzip, deflate"}


async def test_a_slow_drip_ends_at_the_total_time(site: Site, opened: AsyncExitStack) -> None:
    async def drip(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    site.answers["/"] = drip
    error = await failure(opened, site.url("/"), total_timeout_s=0.7, read_timeout_s=0.6)
    assert error.reason is FetchFailure.TIMED_OUT
    assert error.message == "Timed out after 0.7 s."


async def test_silence_ends_at_the_read_time(site: Site, opened: AsyncExitStack) -> None:
    async def silent(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    site.answers["/"] = silent
    error = await failure(opened, site.url("/"), read_timeout_s=0.5)
    assert error.reason is FetchFailure.TIMED_OUT
    assert error.message == "Timed out: nothing came for 0.5 s."


async def test_the_total_time_is_for_all_redirects_together(site: Site, opened: AsyncExitStack) -> None:
    async def slowly_on(request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.25)
        writer.write(response(status=302, Location=f"{request.target}x"))

    for length in range(20):
        site.answers["/" + "x" * length] = slowly_on
    error = await failure(opened, site.url("/"), total_timeout_s=0.8, max_redirects=20)
    assert error.reason is FetchFailure.TIMED_OUT
    assert len(site.targets()) <= 4


async def test_waiting_for_ones_turn_is_not_the_servers_time(site: Site, opened: AsyncExitStack) -> None:
    async def long_sleep(_: float) -> None:
        await asyncio.sleep(0.8)

    site.answers["/"] = page()
    fetcher = await opened.enter_async_context(
        Fetcher(settings(total_timeout_s=0.7, host_delay_s=10), sleep=long_sleep)
    )
    assert isinstance(await fetcher.fetch(site.url("/")), Page)


async def test_an_empty_body_is_told(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/"] = response(b"")
    assert (await failure(opened, site.url("/"))).message == "The page is empty."


async def test_a_length_longer_than_the_body_is_a_page_cut_off(site: Site, opened: AsyncExitStack) -> None:
    site.answers["/"] = response(TEXT, Content_Length=str(len(TEXT) + 1))
    error = await failure(opened, site.url("/"), **ONE_TRY)
    assert error.reason is FetchFailure.BAD_RESPONSE
    assert error.message == "The page was cut off on its way."


async def test_what_comes_behind_a_page_is_not_the_next_page(site: Site, opened: AsyncExitStack) -> None:
    smuggled = response(b"<!doctype html>Smuggled.")

    async def two_answers(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n12345")
        await writer.drain()
        writer.write(smuggled)
        await asyncio.Event().wait()

    site.answers.update({"/": two_answers, "/next": page()})
    fetcher = await opened.enter_async_context(Fetcher(settings(**ONE_TRY)))
    # Whether the second answer is noticed depends on when it comes.
    with contextlib.suppress(FetchError):
        await fetcher.fetch(site.url("/"))
    found = await fetcher.fetch(site.url("/next"))
    assert isinstance(found, Page)
    assert b"Smuggled" not in found.body


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999999999999999999"])
async def test_a_length_that_is_none_is_refused(length: str, site: Site, opened: AsyncExitStack) -> None:
    site.answers["/"] = response(TEXT, Content_Length=length)
    assert (await failure(opened, site.url("/"), **ONE_TRY)).reason is FetchFailure.BAD_RESPONSE


@pytest.mark.parametrize(
    "junk", [b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"]
)
async def test_what_is_no_http_is_refused(junk: bytes, site: Site, opened: AsyncExitStack) -> None:
    site.answers["/"] = junk
    error = await failure(opened, site.url("/"), **ONE_TRY)
    assert error.reason is FetchFailure.BAD_RESPONSE
    assert "SSH" not in error.message


async def test_a_page_that_is_never_whole_takes_no_connection_with_it(
    site: Site, opened: AsyncExitStack
) -> None:
    fetcher = await opened.enter_async_context(
        Fetcher(settings(max_in_flight=1, max_page_bytes=100, max_tries=1))
    )
    site.answers["/large"] = response(TEXT)
    site.answers["/good"] = page()
    for _ in range(5):
        with pytest.raises(FetchError):
            await fetcher.fetch(site.url("/large"))
        assert isinstance(await fetcher.fetch(site.url("/good")), Page)
