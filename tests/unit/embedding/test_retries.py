"""How long is waited between attempts."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from vectoray.embedding.retries import Attempts, retry_after_s


def test_waits_are_random_below_a_bound_that_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    attempts = Attempts(give_up_s=3600)
    assert [attempts.next_wait_s() for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_no_attempt_comes_earlier_than_the_other_side_asks() -> None:
    attempts = Attempts(give_up_s=3600)
    wait_s = attempts.next_wait_s(7.0)
    assert wait_s is not None
    assert 7.0 <= wait_s <= 7.5


def test_a_wait_beyond_the_end_is_not_begun() -> None:
    assert Attempts(give_up_s=5).next_wait_s(6.0) is None


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("12", 12), ("-1", 0), ("soon", None), ("nan", None), ("inf", None)]
)
def test_seconds_are_read(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value) == seconds


def test_dates_are_read() -> None:
    date = datetime.now(UTC) + timedelta(seconds=100)
    assert retry_after_s(format_datetime(date, usegmt=True)) == pytest.approx(100, abs=5)
    assert retry_after_s(format_datetime(date - timedelta(days=1), usegmt=True)) == 0
