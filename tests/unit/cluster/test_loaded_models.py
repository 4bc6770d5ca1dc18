"""Models that are loaded when they are first asked for, a few at a time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from cluster.embedding_batches import EmbeddingBatches
from cluster.loaded_models import LoadedModels
from vectoray.core.errors import DeadlineExceeded, InternalError
from vectoray.core.model import FloatMatrix

WAIT_S = 30.0


class NamedModel:
    """Its vectors are the length of its name."""

    dimension = 1
    max_tokens = 8
    fingerprint = ""

    def __init__(self, name: str) -> None:
        self.name = name

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        return np.full((len(texts), 1), len(self.name), dtype=np.float32)


class Loader:
    """Counts what it loads; while the gate is closed, loading takes until it is opened."""

    def __init__(self) -> None:
        self.loads: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails = False

    def __call__(self, name: str) -> EmbeddingBatches:
        self.loads.append(name)
        assert self.gate.wait(WAIT_S)
        if self.fails:
            raise InternalError("It is damaged.")
        return EmbeddingBatches(NamedModel(name), batch_tokens=100, queue_length=10)


@pytest.fixture
async def loader() -> AsyncIterator[Loader]:
    loader = Loader()
    yield loader
    loader.gate.set()


async def ask(models: LoadedModels, name: str, *, timeout_s: float = WAIT_S) -> float:
    batches = await models.get(name, timeout_s=timeout_s)
    return float((await batches.embed(["text"], timeout_s=WAIT_S))[0, 0])


async def test_a_model_is_loaded_once_however_many_ask(loader: Loader) -> None:
    models = LoadedModels(loader, most=2)
    models.load_now("default")
    assert await asyncio.gather(*(ask(models, name) for name in ["ab", "ab", "default", "ab"])) == [
        2,
        2,
        7,
        2,
    ]
    assert loader.loads == ["default", "ab"]
    assert models.waiting == 0


async def test_the_one_not_asked_for_the_longest_goes(loader: Loader) -> None:
    models = LoadedModels(loader, most=2)
    for name in ("a", "b", "a", "c", "a"):
        await ask(models, name)
    assert loader.loads == ["a", "b", "c"]
    await ask(models, "b")
    assert loader.loads == ["a", "b", "c", "b"]


async def test_a_model_that_goes_finishes_what_it_has(loader: Loader) -> None:
    models = LoadedModels(loader, most=1)
    batches = await models.get("first", timeout_s=WAIT_S)
    await ask(models, "second")
    assert (await batches.embed(["text"], timeout_s=WAIT_S))[0, 0] == 5


async def test_who_cannot_wait_for_a_model_is_told_so_and_it_is_loaded_anyway(loader: Loader) -> None:
    models = LoadedModels(loader, most=2)
    models.load_now("default")
    loader.gate.clear()
    with pytest.raises(DeadlineExceeded, match="'slow' is still being loaded"):
        await ask(models, "slow", timeout_s=0.01)
    assert await ask(models, "default") == 7
    loader.gate.set()
    assert await ask(models, "slow") == 4
    assert loader.loads == ["default", "slow"]


async def test_who_leaves_stops_the_loading_for_nobody(loader: Loader) -> None:
    models = LoadedModels(loader, most=2)
    loader.gate.clear()
    leaving, staying = (asyncio.create_task(ask(models, "ab")) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    loader.gate.set()
    assert await staying == 2
    assert loader.loads == ["ab"]


async def test_a_model_that_cannot_be_loaded_is_tried_again_by_the_next(loader: Loader) -> None:
    models = LoadedModels(loader, most=2)
    loader.fails = True
    with pytest.raises(InternalError, match="damaged"):
        await ask(models, "ab")
    loader.fails = False
    assert await ask(models, "ab") == 2
