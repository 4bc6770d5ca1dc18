"""Attempts to prove who one is: how many pass, whose they are, and when one may try again."""

import pytest

from serve.hit_counters import HitCounters
from serve.service.attempts import AttemptLimits, Attempts
from vectoray.core.errors import RateLimited

ANN, BOB = "ann@example.com", "bob@example.com"
HOME, CAFE = "192.0.2.1", "192.0.2.2"


def attempts(**limits: int) -> Attempts:
    return Attempts(HitCounters(), AttemptLimits(**limits))


async def test_an_address_has_so_many_attempts() -> None:
    counting = attempts(per_minute=2)
    for _ in range(2):
        await counting.count(HOME)
    with pytest.raises(RateLimited) as refusal:
        await counting.count(HOME)
    assert refusal.value.details["retry_after_s"] in range(1, 61)
    await counting.count(CAFE)


async def test_logins_with_an_email_from_an_address_may_fail_so_often() -> None:
    counting = attempts(failed_logins=2)
    for _ in range(2):
        await counting.count_login(ANN, HOME)
    with pytest.raises(RateLimited):
        await counting.count_login(ANN, HOME)
    await counting.count_login(ANN, CAFE)
    await counting.count_login(BOB, HOME)


async def test_ever_new_addresses_do_not_help() -> None:
    counting = attempts(failed_logins=2)
    for number in range(20):
        await counting.count_login(ANN, f"192.0.2.{number}")
    with pytest.raises(RateLimited):
        await counting.count_login(ANN, "198.51.100.1")


async def test_a_login_that_succeeds_forgets_those_that_failed() -> None:
    counting = attempts(failed_logins=1)
    for _ in range(12):
        await counting.count_login(ANN, HOME)
        await counting.succeeded(ANN, HOME)
    await counting.count_login(ANN, HOME)
    with pytest.raises(RateLimited):
        await counting.count_login(ANN, HOME)
