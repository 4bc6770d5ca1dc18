"""Tokens: only ours, of the right kind, and valid now."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import jwt
import pytest

from serve.credentials.tokens import TokenKind, Tokens
from vectoray.core.errors import Unauthenticated

KEY = b"0123456789abcdef" * 4
TOKENS = Tokens(KEY, access_s=900, refresh_s=86_400)


def payload(**changes: Any) -> dict[str, Any]:
    """What a good access token says, but for ``changes``; None leaves a claim out."""
    now_s = int(time.time())
    good = {
        "typ": "access",
        "iss": "vectoray",
        "aud": "vectoray-api",
        "sub": "ann",
        "epoch": 0,
        "iat": now_s,
        "exp": now_s + 60,
        "jti": "1",
    }
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(*, key: bytes = KEY, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(payload(**changes), key, algorithm=algorithm)


def unsigned(header: dict[str, str]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload()))
    return (b".".join(parts) + b".").decode()


@pytest.mark.parametrize(("kind", "life_s"), [(TokenKind.ACCESS, 900), (TokenKind.REFRESH, 86_400)])
def test_a_token_says_whose_it_is_and_how_long(kind: TokenKind, life_s: int) -> None:
    with patch("time.time", return_value=1_900_000_000.7):
        token, claims = TOKENS.make(kind, "ann")
    assert claims.user == "ann"
    assert claims.expires_at == datetime.fromtimestamp(1_900_000_000 + life_s, UTC)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize("kind", TokenKind)
def test_a_token_of_ours_is_good_for_its_kind_alone(kind: TokenKind) -> None:
    token, claims = TOKENS.make(kind, "ann")
    assert TOKENS.check(kind, token) == claims
    [other] = set(TokenKind) - {kind}
    with pytest.raises(Unauthenticated):
        TOKENS.check(other, token)


def test_two_tokens_are_never_the_same() -> None:
    assert TOKENS.make(TokenKind.ACCESS, "ann") != TOKENS.make(TokenKind.ACCESS, "ann")


def test_the_token_that_the_bad_ones_are_made_of_is_good() -> None:
    assert TOKENS.check(TokenKind.ACCESS, signed()).user == "ann"


BAD = {
    "expired": signed(exp=int(time.time()) - 10),
    "from the future": signed(iat=int(time.time()) + 600),
    "refresh": signed(typ="refresh"),
    "kind unknown": signed(typ="id"),
    "issuer": signed(iss="https://evil.example"),
    "audience": signed(aud="other"),
    "several audiences": signed(aud=["vectoray-api", "other"]),
    "another key": signed(key=b"x" * 64),
    "another algorithm": signed(algorithm="HS512"),
    "none": unsigned({"alg": "none", "typ": "JWT"}),
    "unsigned": unsigned({"alg": "HS256", "typ": "JWT"}),
    "empty": "",
    "no token": "vy_x",
    "not ASCII": "ü.ü.ü",
    "longer than any of ours": signed(more="x" * 1024),
    "deeply nested": base64.urlsafe_b64encode(b"[" * 750).decode() + ".e30.e30",
    **{f"without {name}": jwt.encode(payload(**{name: None}), KEY) for name in payload()},
}


@pytest.mark.parametrize("token", BAD.values(), ids=BAD)
def test_any_other_token_is_refused_without_saying_why(token: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        TOKENS.check(TokenKind.ACCESS, token)
    assert refusal.value.message == (
        "The access token is not valid, or not any more; refresh it or log in again."
    )


def test_a_changed_token_is_refused() -> None:
    head, body, signature = signed().split(".")
    other_body = signed(sub="bob").split(".")[1]
    with pytest.raises(Unauthenticated):
        TOKENS.check(TokenKind.ACCESS, f"{head}.{other_body}.{signature}")
    assert body != other_body


def test_a_short_key_signs_nothing() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens(b"x" * 31, access_s=1, refresh_s=1)
