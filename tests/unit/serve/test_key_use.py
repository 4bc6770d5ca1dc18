"""When keys were used last: written behind the requests, together, and seldom."""

import asyncio
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import datetime
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from serve.key_use import KeyUse
from storage.catalog import ApiKeys
from vectoray.core.errors import Unavailable


class Written:
    """Takes what is written; the test waits for it, and may have it fail."""

    def __init__(self) -> None:
        self.batches: asyncio.Queue[set[str]] = asyncio.Queue()
        self.failure: Exception | None = None

    async def note_use(self, used: Mapping[str, datetime]) -> None:
        self.batches.put_nowait(set(used))
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as captured:
        yield captured


async def test_the_first_use_is_written_and_later_ones_together(written: Written) -> None:
    use = KeyUse(cast("ApiKeys", written), interval_s=3600)
    use.note("a")
    assert await written.batches.get() == {"a"}
    for key_id in "aabc":
        use.note(key_id)
    await asyncio.sleep(0)
    assert written.batches.empty()
    await use.close()
    assert await written.batches.get() == {"a", "b", "c"}
    await use.close()
    assert written.batches.empty()


async def test_uses_are_written_again_after_the_interval(written: Written) -> None:
    use = KeyUse(cast("ApiKeys", written), interval_s=0.001)
    for key_id in "abc":
        use.note(key_id)
        assert await written.batches.get() == {key_id}
    await use.close()


@pytest.mark.usefixtures("logs")
async def test_a_database_that_refuses_does_not_end_it(
    written: Written, logs: list[MutableMapping[str, Any]]
) -> None:
    use = KeyUse(cast("ApiKeys", written), interval_s=0.001)
    written.failure = Unavailable("Down.")
    use.note("a")
    await written.batches.get()
    use.note("b")
    assert await written.batches.get() == {"b"}
    await use.close()
    assert {line["event"] for line in logs} == {"key_use_not_noted"}
