"""Many callers share one model: who gets what, who waits, and who gets the error."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import numpy as np
import pytest

from cluster.embedding_batches import EmbeddingBatches
from vectoray.core.errors import DeadlineExceeded, InternalError, InvalidRequest, Overloaded
from vectoray.core.model import FloatMatrix

WAIT_S = 30.0


class GatedModel:
    """A text's vector is its number. Each call waits until it is let through."""

    name = "gated"
    dimension = 2
    max_tokens = 8
    fingerprint = "gated"

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def embed(self, texts: Sequence[str]) -> FloatMatrix:
        self.batches.append(list(texts))
        self.begun.release()
        assert self.gate.acquire(timeout=WAIT_S)
        if "poison" in texts:
            raise RuntimeError("secret")
        return np.array([[float(text), 1.0] for text in texts], dtype=np.float32)

    def open(self) -> None:
        """Let every call through from now on."""
        self.gate.release(10_000)

    async def wait_until_begun(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=WAIT_S)


@pytest.fixture
async def model() -> AsyncIterator[GatedModel]:
    gated = GatedModel()
    yield gated
    gated.open()


def batches_of(model: GatedModel, *, batch_tokens: int = 100, queue_length: int = 100) -> EmbeddingBatches:
    return EmbeddingBatches(model, batch_tokens=batch_tokens, queue_length=queue_length)


def ask(batches: EmbeddingBatches, *texts: str, timeout_s: float = WAIT_S) -> "asyncio.Task[FloatMatrix]":
    return asyncio.create_task(batches.embed(texts, timeout_s=timeout_s))


async def busy(batches: EmbeddingBatches, model: GatedModel) -> "asyncio.Task[FloatMatrix]":
    """Occupy the model with a text of its own."""
    first = ask(batches, "0")
    await model.wait_until_begun()
    return first


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_texts_that_come_while_a_batch_runs_go_into_the_next_and_everybody_gets_their_own(
    model: GatedModel,
) -> None:
    batches = batches_of(model)
    first = await busy(batches, model)
    others = [ask(batches, str(number), str(number + 100)) for number in range(1, 6)]
    await settle()
    model.open()
    assert (await first).tolist() == [[0, 1]]
    for number, other in enumerate(others, start=1):
        assert (await other).tolist() == [[number, 1], [number + 100, 1]]
    assert [len(batch) for batch in model.batches] == [1, 10]


async def test_a_batch_ends_at_its_budget_and_callers_take_turns(model: GatedModel) -> None:
    # Two tokens are counted for a text without four characters.
    batches = batches_of(model, batch_tokens=6)
    first = await busy(batches, model)
    many = ask(batches, *(str(number) for number in range(10, 20)))
    one = ask(batches, "99")
    await settle()
    model.open()
    await asyncio.gather(first, many, one)
    assert model.batches[1] == ["10", "11", "99"]
    assert many.result()[:, 0].tolist() == list(range(10, 20))


async def test_one_text_larger_than_the_budget_is_embedded_alone(model: GatedModel) -> None:
    model.open()
    assert (await ask(batches_of(model, batch_tokens=1), "0" * 50)).shape == (1, 2)


async def test_a_full_queue_refuses_more_and_accepts_again_once_it_is_shorter(model: GatedModel) -> None:
    batches = batches_of(model, queue_length=3)
    first = await busy(batches, model)
    waiting = ask(batches, "1", "2")
    await settle()
    with pytest.raises(Overloaded):
        await ask(batches, "3", "4")
    third = ask(batches, "3")
    await settle()
    model.open()
    await asyncio.gather(first, waiting, third)
    assert (await ask(batches, "5", "6", "7", "8")).shape == (4, 2)


async def test_a_caller_who_leaves_takes_only_their_own_texts_along(model: GatedModel) -> None:
    batches = batches_of(model, queue_length=3)
    first = await busy(batches, model)
    leaving = ask(batches, "1", "2")
    staying = ask(batches, "3")
    await settle()
    leaving.cancel()
    await settle()
    late = ask(batches, "4", "5")
    await settle()
    model.open()
    await asyncio.gather(first, staying, late)
    assert model.batches[1:] == [["3", "4", "5"]]


async def test_a_caller_who_leaves_a_running_batch_does_not_stop_it(model: GatedModel) -> None:
    batches = batches_of(model)
    first = await busy(batches, model)
    leaving, staying = ask(batches, "1"), ask(batches, "2")
    await settle()
    model.gate.release()
    await first
    await model.wait_until_begun()
    leaving.cancel()
    model.open()
    assert (await staying).tolist() == [[2, 1]]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_the_caller_who_started_the_loop_may_leave_without_stopping_it(model: GatedModel) -> None:
    batches = batches_of(model)
    first = await busy(batches, model)
    second = ask(batches, "1")
    await settle()
    first.cancel()
    model.open()
    assert (await second).tolist() == [[1, 1]]


async def test_bad_unicode_is_refused_at_once_and_harms_nobody(model: GatedModel) -> None:
    batches = batches_of(model)
    model.open()
    good = ask(batches, "1")
    with pytest.raises(InvalidRequest, match=r"texts\[1\] is not valid Unicode"):
        await ask(batches, "2", "\ud800")
    assert (await good).tolist() == [[1, 1]]


async def test_a_text_the_model_fails_on_fails_its_caller_alone(
    model: GatedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    batches = batches_of(model)
    first = await busy(batches, model)
    good, bad, also_good = ask(batches, "1"), ask(batches, "2", "poison"), ask(batches, "3")
    await settle()
    model.open()
    await first
    assert [(await task).tolist() for task in (good, also_good)] == [[[1, 1]], [[3, 1]]]
    with pytest.raises(InternalError) as caught:
        await bad
    assert "secret" not in caught.value.message
    assert "embedding_failed" in "".join(capfd.readouterr())


@pytest.mark.parametrize("rows", [0, 1, 4])
async def test_a_model_that_gives_another_number_of_vectors_fails_its_callers_at_once(
    model: GatedModel, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    model.open()
    batches = batches_of(model)
    with monkeypatch.context() as broken:
        broken.setattr(model, "embed", lambda _texts: np.zeros((rows, 2), dtype=np.float32))
        with pytest.raises(InternalError):
            await ask(batches, "1", "2", "3", timeout_s=2)
    assert (await ask(batches, "4"))[0, 0] == 4


async def test_who_is_not_served_in_time_gets_an_error_and_leaves_the_queue(model: GatedModel) -> None:
    batches = batches_of(model)
    first = await busy(batches, model)
    with pytest.raises(DeadlineExceeded):
        await ask(batches, "1", timeout_s=0.01)
    model.open()
    await first
    assert (await ask(batches, "2")).tolist() == [[2, 1]]
    assert ["1"] not in model.batches


async def test_no_texts_give_no_vectors_and_no_call(model: GatedModel) -> None:
    assert (await ask(batches_of(model))).shape == (0, 2)
    assert model.batches == []
