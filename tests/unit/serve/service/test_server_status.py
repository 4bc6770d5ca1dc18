"""Whether the model answers: really asked, seldom, and never waited for too long."""

import asyncio
from collections.abc import Iterator, Sequence
from unittest.mock import patch

import numpy as np
import pytest
from structlog.testing import capture_logs

from serve.service import server_status
from serve.service.server_status import ModelProbe
from vectoray.core.errors import Overloaded
from vectoray.core.model import FloatMatrix


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


class Asked:
    """Remembers the texts, and answers as it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.error: Exception | None = None
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def embed(self, model: str, texts: Sequence[str]) -> FloatMatrix:
        assert model == "m"
        self.texts += texts
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return np.ones((len(texts), 2), dtype=np.float32)


async def test_many_who_want_to_know_ask_once() -> None:
    asked = Asked()
    probe = ModelProbe(asked, "m")
    asked.may_answer.clear()
    waiting = [asyncio.create_task(probe.embeds()) for _ in range(5)]
    await asyncio.sleep(0)
    asked.may_answer.set()
    assert await asyncio.gather(*waiting) == [True] * 5
    assert len(asked.texts) == 1


async def test_it_is_asked_again_after_ten_seconds_with_another_text() -> None:
    asked = Asked()
    probe = ModelProbe(asked, "m")
    with patch("serve.service.server_status.time.monotonic") as clock:
        for now_s, count in ((100.0, 1), (109.9, 1), (110.0, 2)):
            clock.return_value = now_s
            assert await probe.embeds()
            assert len(asked.texts) == count
    assert len(set(asked.texts)) == 2


async def test_an_error_means_no() -> None:
    asked = Asked()
    asked.error = Overloaded("The queue is full.")
    assert not await ModelProbe(asked, "m").embeds()


async def test_silence_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_status, "_PROBE_TIMEOUT_S", 0.01)
    asked = Asked()
    asked.may_answer.clear()
    assert not await ModelProbe(asked, "m").embeds()
