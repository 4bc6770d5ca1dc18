"""The HTTP section of the settings: bounds, and which origins are this machine's."""

import re
from typing import Any

import pytest
from pydantic import ValidationError

from serve.settings import ServeSettings


@pytest.mark.parametrize(
    "change",
    [
        {"port": 0},
        {"port": 65536},
        {"host": ""},
        {"max_body_bytes": 0},
        {"max_dimension": 0},
        {"max_batch_points": 0},
        {"request_timeout_s": 0},
        {"cors_origin_regex": "("},
        {"unknown": 1},
    ],
)
def test_a_bad_setting_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ServeSettings(**change)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in ServeSettings.model_fields.values())


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost", True),
        ("https://127.0.0.1:8443", True),
        ("http://[::1]:3000", True),
        ("http://127a0b0c1", False),
        ("http://localhost.evil.example", False),
        ("http://localhost:80.evil.example", False),
        ("ftp://localhost", False),
        ("null", False),
    ],
)
def test_only_pages_of_this_machine_may_call_by_default(origin: str, *, allowed: bool) -> None:
    assert bool(re.fullmatch(ServeSettings().cors_origin_regex, origin)) is allowed
