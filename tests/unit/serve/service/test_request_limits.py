"""Requests a minute: of a user, of a key, of an address."""

import pytest

from serve.auth import ANONYMOUS, Principal
from serve.hit_counters import HitCounters
from serve.service.request_limits import RequestLimits
from vectoray.core.errors import RateLimited

HOME, CAFE = "192.0.2.1", "192.0.2.2"
ANN = Principal("ann")
KEY = Principal("ann", key_id="k", rate_limit=2)


async def refused(limits: RequestLimits, caller: Principal, address: str = HOME) -> bool:
    try:
        await limits.count(caller, address)
    except RateLimited:
        return True
    return False


async def test_without_a_limit_nobody_is_counted() -> None:
    limits = RequestLimits(HitCounters(), None)
    assert not limits.concern(ANN)
    assert not limits.concern(ANONYMOUS)
    assert [await refused(limits, ANN) for _ in range(5)] == [False] * 5


async def test_a_user_is_counted_wherever_they_are_and_whatever_they_send() -> None:
    limits = RequestLimits(HitCounters(), 3)
    assert limits.concern(ANN)
    other_key = Principal("ann", key_id="other")
    seen = [await refused(limits, *one) for one in ((ANN, HOME), (ANN, CAFE), (other_key, HOME), (ANN, HOME))]
    assert seen == [False, False, False, True]
    assert not await refused(limits, Principal("bob"))


async def test_who_is_nobody_is_counted_by_address() -> None:
    limits = RequestLimits(HitCounters(), 1)
    assert [await refused(limits, ANONYMOUS, one) for one in (HOME, CAFE, HOME)] == [False, False, True]


async def test_a_keys_own_limit_holds_besides() -> None:
    alone = RequestLimits(HitCounters(), None)
    assert alone.concern(KEY)
    assert [await refused(alone, KEY) for _ in range(3)] == [False, False, True]
    generous = Principal("ann", key_id="g", rate_limit=1000)
    both = RequestLimits(HitCounters(), 1)
    assert [await refused(both, generous) for _ in range(2)] == [False, True]


async def test_who_is_refused_is_told_how_many_there_are_and_when_to_come_again() -> None:
    limits = RequestLimits(HitCounters(), 1)
    await limits.count(ANN, HOME)
    with pytest.raises(
        RateLimited, match=r"You may send 1 requests a minute; try again in \d+ s\."
    ) as refusal:
        await limits.count(ANN, HOME)
    assert refusal.value.details["limit"] == 1
    assert refusal.value.details["retry_after_s"] in range(1, 61)
