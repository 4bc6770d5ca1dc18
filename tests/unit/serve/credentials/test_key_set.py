"""Keys of a provider: remembered, rotated, and fetched within limits whatever is asked or answered."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from structlog.testing import capture_logs

from serve.credentials.key_set import KeySet
from tests.unit.serve.credentials.provider import (
    Provider,
    jwk,
    provider_running,
    published,
    response,
    rsa_key,
)
from vectoray.core.errors import Unavailable


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with provider_running() as running:
        yield running


class Clock:
    """Stands in for `time.monotonic`."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Any:
    with patch("serve.credentials.key_set.time.monotonic", Clock()) as clock:
        yield clock


async def finds(keys: KeySet, key_id: str) -> bool:
    return await keys.find(key_id) is not None


async def test_a_key_is_found_and_remembered(provider: Provider) -> None:
    keys = KeySet(provider.url)
    for _ in range(3):
        found = await keys.find("a")
        assert found is not None
        assert found.public.public_numbers() == rsa_key("a").public_key().public_numbers()
    assert provider.asked == 1


async def test_callers_who_come_together_cause_one_fetch(provider: Provider) -> None:
    keys = KeySet(provider.url)
    provider.go_on.clear()
    waiting = [asyncio.create_task(finds(keys, "a")) for _ in range(20)]
    await provider.was_asked.wait()
    provider.go_on.set()
    assert await asyncio.gather(*waiting) == [True] * 20
    assert provider.asked == 1


async def test_a_rotated_key_is_fetched_when_a_token_names_it(provider: Provider, clock: Clock) -> None:
    keys = KeySet(provider.url, pause_s=30)
    assert await finds(keys, "a")
    provider.answer = published(jwk("b"))
    clock.now_s += 31
    assert await finds(keys, "b")
    assert not await finds(keys, "a")


async def test_keys_that_nobody_has_cause_one_fetch_in_a_while(provider: Provider, clock: Clock) -> None:
    keys = KeySet(provider.url, pause_s=30)
    for number in range(50):
        assert not await finds(keys, f"unknown-{number}")
    assert provider.asked == 1
    clock.now_s += 31
    assert not await finds(keys, "unknown")
    assert provider.asked == 2


async def test_a_provider_that_is_gone_for_a_while_is_not_missed(provider: Provider, clock: Clock) -> None:
    keys = KeySet(provider.url)
    assert await finds(keys, "a")
    provider.answer = response(b"", "500 Internal Server Error")
    clock.now_s += 7200
    assert await finds(keys, "a")
    assert provider.asked == 2
    clock.now_s += 86_400
    with pytest.raises(Unavailable):
        await keys.find("a")


BAD_ANSWERS = {
    "an error": response(b"", "404 Not Found"),
    "no JSON": response(b"<html>"),
    "a list": response(b"[]"),
    "no keys": response(b'{"keys": []}'),
    "keys of another kind": response(b'{"keys": [{"kty": "oct", "kid": "a", "k": "AAAA"}]}'),
    "a broken key": response(b'{"keys": [{"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"}]}'),
    "a key to encrypt": published(jwk("a", use="enc")),
    "a key of another algorithm": published(jwk("a", alg="RS512")),
    "a short key": published(jwk("short", kid="a")),
    "too many keys": published(*[jwk("a")] * 65),
    "too large": response(orjson.dumps({"keys": [jwk("a")], "x": "x" * 300_000})),
    "a redirect": response(b"", "302 Found", "location: /keys"),
    "cut short": published(jwk("a"))[:-20],
}


@pytest.mark.parametrize("answer", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_what_is_no_set_of_keys_is_not_taken(provider: Provider, answer: bytes) -> None:
    provider.answer = answer
    with capture_logs() as logs, pytest.raises(Unavailable):
        await KeySet(provider.url).find("a")
    assert [entry["event"] for entry in logs] == ["provider_keys_not_fetched"]
    assert provider.asked == 1


async def test_who_answers_slowly_is_not_waited_for(provider: Provider) -> None:
    provider.go_on.clear()
    with capture_logs(), pytest.raises(Unavailable):
        await KeySet(provider.url, timeout_s=0.05).find("a")


async def test_after_a_failure_the_provider_is_left_alone_for_a_while(
    provider: Provider, clock: Clock
) -> None:
    keys = KeySet(provider.url, pause_s=30)
    good, provider.answer = provider.answer, response(b"", "500 Internal Server Error")
    for _ in range(10):
        with capture_logs(), pytest.raises(Unavailable):
            await keys.find("a")
    assert provider.asked == 1
    provider.answer = good
    clock.now_s += 31
    assert await finds(keys, "a")
