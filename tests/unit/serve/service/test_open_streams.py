"""How many streams a user may have open."""

from collections.abc import AsyncGenerator

import pytest

from serve.auth import Principal
from serve.service.open_streams import OpenStreams
from vectoray.core.errors import RateLimited

ANN, BOB = Principal("ann"), Principal("bob")


async def numbers() -> AsyncGenerator[int, None]:
    yield 1
    yield 2


async def test_one_stream_too_many_is_refused_and_counts_for_its_user_alone() -> None:
    streams = OpenStreams(2)
    first = streams.hold(ANN, numbers())
    streams.hold(ANN, numbers())
    with pytest.raises(RateLimited, match="2 streams open already"):
        streams.hold(ANN, numbers())
    streams.hold(BOB, numbers())
    await first.aclose()
    streams.hold(ANN, numbers())
    with pytest.raises(RateLimited):
        streams.hold(ANN, numbers())


async def test_a_stream_that_ended_is_counted_no_more_and_only_once() -> None:
    streams = OpenStreams(1)
    held = streams.hold(ANN, numbers())
    assert [number async for number in held] == [1, 2]
    second = streams.hold(ANN, numbers())
    await held.aclose()
    with pytest.raises(RateLimited):
        streams.hold(ANN, numbers())
    await second.aclose()
    streams.hold(ANN, numbers())
