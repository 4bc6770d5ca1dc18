"""Recent texts cost no call, the same text asked for twice at once costs one, and nobody harms another."""

import asyncio
import contextvars
from collections.abc import Sequence

import numpy as np
import pytest

from cluster.embedding_cache import EmbeddingCache
from vectoray.core.errors import InvalidRequest, Overloaded
from vectoray.core.model import FloatMatrix

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


class CountingEmbedder:
    """A text's vector is its length. Calls wait while ``gate`` is clear."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.requests: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.cancelled = 0
        self.error: Exception | None = None

    async def embed(self, model_name: str, texts: Sequence[str]) -> FloatMatrix:
        self.calls.append(list(texts))
        self.requests.append(REQUEST.get())
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return np.array([[len(text), len(model_name)] for text in texts], dtype=np.float32).reshape(-1, 2)


@pytest.fixture
async def embedder() -> CountingEmbedder:
    return CountingEmbedder()


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_repeated_text_costs_no_call(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    first = await cache.embed("m", ["a", "bb"])
    second = await cache.embed("m", ["bb", "ccc", "a", "a"])
    assert first.tolist() == [[1, 1], [2, 1]]
    assert second.tolist() == [[2, 1], [3, 1], [1, 1], [1, 1]]
    assert embedder.calls == [["a", "bb"], ["ccc"]]


async def test_another_model_has_another_vector(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    assert (await cache.embed("m", ["a"])).tolist() == [[1, 1]]
    assert (await cache.embed("mm", ["a"])).tolist() == [[1, 2]]


async def test_the_least_recently_asked_text_is_forgotten_first(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=2)
    for text in ("a", "bb", "a", "ccc", "a", "bb"):
        await cache.embed("m", [text])
    assert embedder.calls == [["a"], ["bb"], ["ccc"], ["bb"]]


async def test_without_entries_nothing_is_remembered(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=0)
    await cache.embed("m", ["a"])
    await cache.embed("m", ["a"])
    assert embedder.calls == [["a"], ["a"]]


async def test_what_a_caller_does_to_a_vector_stays_with_them(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    for _ in range(2):
        vectors = await cache.embed("m", ["a"])
        assert vectors.tolist() == [[1, 1]]
        vectors[:] = 0


async def test_the_same_text_asked_for_at_once_costs_one_call(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    embedder.gate.clear()
    first = asyncio.create_task(cache.embed("m", ["a", "bb"]))
    await settle()
    others = [asyncio.create_task(cache.embed("m", ["ccc", "a"])) for _ in range(3)]
    await settle()
    embedder.gate.set()
    assert (await first).tolist() == [[1, 1], [2, 1]]
    assert [(await other).tolist() for other in others] == [[[3, 1], [1, 1]]] * 3
    assert embedder.calls == [["a", "bb"], ["ccc"]]


async def test_a_caller_who_leaves_does_not_take_the_call_from_those_who_stay(
    embedder: CountingEmbedder,
) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    embedder.gate.clear()
    leaving, staying = (asyncio.create_task(cache.embed("m", ["a"])) for _ in range(2))
    await settle()
    leaving.cancel()
    await settle()
    embedder.gate.set()
    assert (await staying).tolist() == [[1, 1]]
    assert embedder.cancelled == 0


async def test_a_call_nobody_waits_for_ends_and_the_next_caller_begins_anew(
    embedder: CountingEmbedder,
) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    embedder.gate.clear()
    leaving = asyncio.create_task(cache.embed("m", ["a"]))
    await settle()
    leaving.cancel()
    next_one = asyncio.create_task(cache.embed("m", ["a"]))
    await settle()
    assert embedder.cancelled == 1
    embedder.gate.set()
    assert (await next_one).tolist() == [[1, 1]]


async def test_a_failed_call_fails_all_who_share_it_and_is_not_remembered(
    embedder: CountingEmbedder,
) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    embedder.error = Overloaded("full")
    results = await asyncio.gather(*(cache.embed("m", ["a"]) for _ in range(2)), return_exceptions=True)
    assert results == [embedder.error] * 2
    embedder.error = None
    assert (await cache.embed("m", ["a"])).tolist() == [[1, 1]]


async def test_a_shared_call_does_not_run_in_the_context_of_a_request(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    token = REQUEST.set("one")
    await cache.embed("m", ["a"])
    REQUEST.reset(token)
    assert embedder.requests == ["none"]


async def test_bad_unicode_is_refused_without_a_call(embedder: CountingEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=10)
    with pytest.raises(InvalidRequest, match=r"texts\[1\] is not valid Unicode"):
        await cache.embed("m", ["a", "\ud800"])
    assert embedder.calls == []


async def test_no_texts_are_left_to_the_embedder(embedder: CountingEmbedder) -> None:
    assert (await EmbeddingCache(embedder, entries=10).embed("m", [])).shape == (0, 2)
