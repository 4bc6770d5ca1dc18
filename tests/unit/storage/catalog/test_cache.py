"""The cache of collections: it never says what the database would not say now."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine, text

from storage.catalog import Catalog
from storage.catalog.cache import CatalogCache, ClockTicks, OwnCommits, SqliteChanges, changes_of
from storage.catalog.database import for_writing, open_database
from tests.unit.storage.catalog.test_catalog import collection, made
from vectoray.core.model import Collection

OWNERS = ("local",)


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite, which alone tells of every commit at once."""
    return f"sqlite:///{tmp_path / 'catalog.db'}"


@pytest.fixture
async def catalogs(database_url: str) -> AsyncIterator[tuple[Catalog, Catalog]]:
    """Two catalogs over one file, as two processes have them."""
    one, other = await Catalog.open(database_url), await Catalog.open(database_url)
    yield one, other
    await one.dispose()
    await other.dispose()


class Reads:
    """Counts how often a catalog asks its database for a collection."""

    def __init__(self, catalog: Catalog) -> None:
        self.count = 0
        self._first = catalog._first
        self._patch = patch.object(catalog, "_first", self)

    async def __call__(self, *condition: object) -> Collection | None:
        self.count += 1
        return await self._first(*condition)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


async def test_a_second_lookup_asks_no_database(catalogs: tuple[Catalog, Catalog]) -> None:
    catalog, _ = catalogs
    docs = await made(catalog, collection())
    with Reads(catalog) as reads:
        for _ in range(5):
            assert await catalog.by_id(docs.id) == docs
            assert await catalog.by_name(OWNERS, "docs") == docs
    assert reads.count == 2


async def test_what_one_drops_the_other_no_longer_finds(catalogs: tuple[Catalog, Catalog]) -> None:
    one, other = catalogs
    docs = await made(one, collection())
    for dropping, looking in ((one, other), (other, one), (one, one)):
        docs = await made(one, collection(f"docs-{id(dropping)}-{id(looking)}"))
        assert await looking.by_id(docs.id) == docs
        assert await looking.by_name(OWNERS, docs.name) == docs
        assert await dropping.begin_drop(docs.id)
        assert await looking.by_id(docs.id) is None
        assert await looking.by_name(OWNERS, docs.name) is None


async def test_a_name_that_is_given_again_is_the_new_collection(catalogs: tuple[Catalog, Catalog]) -> None:
    one, other = catalogs
    for _ in range(3):
        docs = await made(one, collection())
        assert await other.by_name(OWNERS, "docs") == docs
        await one.begin_drop(docs.id)


async def test_what_another_process_drops_is_not_found(
    database_url: str, catalogs: tuple[Catalog, Catalog]
) -> None:
    catalog, _ = catalogs
    docs = await made(catalog, collection())
    assert await catalog.by_id(docs.id) == docs
    script = (
        "import asyncio, sys\nfrom storage.catalog import Catalog\n"
        "async def main():\n"
        "    catalog = await Catalog.open(sys.argv[1])\n"
        "    assert await catalog.begin_drop(sys.argv[2])\n"
        "    print('dropped', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    await catalog.dispose()\n"
        "asyncio.run(main())\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        script,
        database_url,
        docs.id,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"dropped\n"
        assert await catalog.by_id(docs.id) is None
    finally:
        await child.communicate(b"end\n")
    assert child.returncode == 0


async def test_what_is_not_found_is_looked_for_again(catalogs: tuple[Catalog, Catalog]) -> None:
    one, other = catalogs
    assert await other.by_name(OWNERS, "docs") is None
    docs = await made(one, collection())
    assert await other.by_name(OWNERS, "docs") == docs


async def test_a_writer_in_the_middle_of_a_transaction_holds_up_no_lookup(
    database_url: str, catalogs: tuple[Catalog, Catalog]
) -> None:
    catalog, _ = catalogs
    docs = await made(catalog, collection())
    assert await catalog.by_id(docs.id) == docs
    engine = open_database(database_url)
    with Reads(catalog) as reads, for_writing(engine).connect() as writer:
        writer.execute(text("UPDATE collections SET name = 'other'"))
        began = time.perf_counter()
        assert await catalog.by_id(docs.id) == docs
        assert time.perf_counter() - began < 1
        assert reads.count == 0
        writer.commit()
        found = await catalog.by_id(docs.id)
        assert found is not None
        assert (found.name, reads.count) == ("other", 1)
    engine.dispose()


async def test_a_read_that_a_commit_overtook_is_not_kept(catalogs: tuple[Catalog, Catalog]) -> None:
    one, other = catalogs
    docs = await made(one, collection())
    read, first = asyncio.Event(), other._first

    async def slow(*condition: object) -> Collection | None:
        found = await first(*condition)  # type: ignore[arg-type]
        read.set()
        await overtaken.wait()
        return found

    overtaken = asyncio.Event()
    with patch.object(other, "_first", slow):
        looking = asyncio.create_task(other.by_id(docs.id))
        await read.wait()
        await one.begin_drop(docs.id)
        with patch.object(other, "_first", first):
            assert await other.by_id(docs.id) is None
        overtaken.set()
        assert await looking == docs
    assert await other.by_id(docs.id) is None


class Changes:
    """A counter that the test sets."""

    now: int | None = 1

    def read(self) -> int | None:
        return self.now

    def close(self) -> None:
        pass


def test_nothing_is_remembered_while_the_database_does_not_say() -> None:
    changes, docs = Changes(), collection()
    cache: CatalogCache[Collection] = CatalogCache(changes)
    assert cache.get("a") is None
    cache.keep("a", docs, as_of=cache.as_of)
    assert cache.get("a") is docs
    changes.now = None
    assert cache.get("a") is None
    cache.keep("a", docs, as_of=cache.as_of)
    assert cache.get("a") is None


def test_the_collections_used_last_are_remembered() -> None:
    cache: CatalogCache[Collection] = CatalogCache(Changes(), most=2)
    cache.get("a")
    for key in ("a", "b"):
        cache.keep(key, collection(key), as_of=1)
    assert cache.get("a") is not None
    cache.keep("c", collection("c"), as_of=1)
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None


def test_a_database_on_another_machine_is_trusted_for_half_a_second() -> None:
    changes = changes_of(create_engine("sqlite://"), OwnCommits())
    assert isinstance(changes, ClockTicks)
    with patch("time.monotonic", return_value=1000.0):
        first = changes.read()
    with patch("time.monotonic", return_value=1000.5):
        assert changes.read() != first
    changes.close()


def test_a_database_that_cannot_be_asked_says_unknown(database_url: str) -> None:
    engine = open_database(database_url)
    changes = changes_of(engine, OwnCommits())
    assert isinstance(changes, SqliteChanges)
    changes.close()
    assert changes.read() is None
    engine.dispose()


async def test_where_no_database_tells_our_own_commits_are_noticed_at_once() -> None:
    own = OwnCommits()
    changes = ClockTicks(own)
    with patch("time.monotonic", return_value=1000.0):
        before = changes.read()
        assert changes.read() == before
        own.add()
        assert changes.read() != before
