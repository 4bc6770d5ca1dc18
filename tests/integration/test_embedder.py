"""The deployed embedder: many callers at once, some of whom leave, hurry, or send what cannot be read."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from cluster.embedder import RemoteEmbedder
from cluster.embedding_cache import EmbeddingCache
from cluster.server_file import ServerFile
from vectoray.core.errors import InvalidRequest, Unavailable
from vectoray.embedding import ModelRegistry

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "all-MiniLM-L6-v2"


@pytest.fixture
def embedder(server: ServerFile) -> RemoteEmbedder:
    return RemoteEmbedder(timeout_s=30)


async def test_every_caller_gets_the_vectors_of_their_own_texts(embedder: RemoteEmbedder) -> None:
    texts = [f"question number {number} about {'graphs ' * (number % 7)}" for number in range(40)]
    alone = [await embedder.embed(MODEL, [text]) for text in texts]
    together = await asyncio.gather(*(embedder.embed(MODEL, [text]) for text in texts))
    for one, same in zip(alone, together, strict=True):
        assert float((one[0] * same[0]).sum()) > 0.999


async def test_callers_who_leave_and_bad_texts_harm_nobody(embedder: RemoteEmbedder) -> None:
    cache = EmbeddingCache(embedder, entries=100)
    leaving = [asyncio.create_task(cache.embed(MODEL, [f"text {number % 8}"])) for number in range(16)]
    staying = [asyncio.create_task(cache.embed(MODEL, [f"text {number}"])) for number in range(12)]
    bad = asyncio.create_task(embedder.embed(MODEL, ["\ud800"]))
    await asyncio.sleep(0)
    for task in leaving:
        task.cancel()
    vectors = np.concatenate(await asyncio.gather(*staying))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    with pytest.raises(InvalidRequest, match=r"texts\[0\] is not valid Unicode"):
        await bad
    await asyncio.wait(leaving)
    assert all(task.cancelled() for task in leaving)


async def test_another_model_is_loaded_when_it_is_asked_for(embedder: RemoteEmbedder) -> None:
    hashing = ModelRegistry().load("hashing-384", cache_dir=Path())
    np.testing.assert_array_equal(await embedder.embed("hashing-384", ["text"]), hashing.embed(["text"]))


async def test_a_model_that_the_server_does_not_have_is_refused(embedder: RemoteEmbedder) -> None:
    with pytest.raises(InvalidRequest, match=r"'gpt-9' is not known"):
        await embedder.embed("gpt-9", ["text"])


async def test_who_asks_with_too_little_time_is_told_so_and_others_are_served(server: ServerFile) -> None:
    hurried = RemoteEmbedder(timeout_s=0.001)
    with pytest.raises(Unavailable):
        await hurried.embed(MODEL, ["a long text " * 100] * 64)
    assert (await RemoteEmbedder(timeout_s=30).embed(MODEL, ["text"])).shape == (1, 384)
