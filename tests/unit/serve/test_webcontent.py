"""The Web Content API's error table and translations."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from serve.detail_errors import STATUS
from serve.surfaces.webcontent import wire
from vectoray.core.errors import ErrorCode
from vectoray.core.projects import UrlStatus


def test_every_error_has_a_status() -> None:
    assert STATUS.keys() == set(ErrorCode)


def test_every_status_of_a_url_has_a_name() -> None:
    assert set(wire.StatusName.__args__) == {status.value for status in UrlStatus}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2025, 5, 28, 12, 34, 56, 789_999, UTC), "2025-05-28T12:34:56.789Z"),
        (datetime(2025, 5, 28, tzinfo=UTC), "2025-05-28T00:00:00.000Z"),
        (datetime(2025, 5, 28, 1, tzinfo=timezone(timedelta(hours=2))), "2025-05-27T23:00:00.000Z"),
    ],
)
def test_times_are_in_utc_with_milliseconds(time: datetime, text: str) -> None:
    assert wire.time_text(time) == text
    token = wire.UserInfo(user_id="u", email="e", created_at=time).model_dump_json()
    assert f'"created_at":"{text}"' in token
