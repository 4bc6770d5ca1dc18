"""Makes and checks the two kinds of JSON Web Tokens: access and refresh."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import uuid4

import jwt

from vectoray.core.errors import Unauthenticated

_ALGORITHM = "HS256"
_ISSUER = "vectoray"
_AUDIENCE = "vectoray-api"
_CLAIMS = ("typ", "iss", "aud", "sub", "epoch", "iat", "exp", "jti")
# Clocks of several machines differ a little.
_LEEWAY_S = 2
# Ours have about 330. A longer one is decoded in vain, for seconds where it has megabytes.
_MAX_CHARACTERS = 1024


class TokenKind(StrEnum):
    """What a token is good for; never for the other."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says.

    Attributes:
        id: UUID of the token.
        user: Id of the user whose it is.
        epoch: Of the user, when the token was made; it is worthless in another one.
        expires_at: To the second.
    """

    id: str
    user: str
    epoch: int
    expires_at: datetime


class Tokens:
    """Tokens under one key. Every gateway of a server has the same."""

    def __init__(self, key: bytes, *, access_s: int, refresh_s: int) -> None:
        """Tokens that are valid for so many seconds.

        Args:
            key: At least 32 bytes.
            access_s: Life of an access token.
            refresh_s: Life of a refresh token.
        """
        if len(key) < 32:
            raise ValueError("The key that signs tokens must have at least 32 bytes.")
        self._key = key
        self._life_s = {TokenKind.ACCESS: access_s, TokenKind.REFRESH: refresh_s}

    def make(self, kind: TokenKind, user: str, *, epoch: int = 0) -> tuple[str, Claims]:
        """A new token for a user in their ``epoch``, and what it says."""
        now_s = int(time.time())
        expires_s = now_s + self._life_s[kind]
        claims = Claims(str(uuid4()), user, epoch, datetime.fromtimestamp(expires_s, UTC))
        payload = {
            "typ": kind.value,
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "sub": user,
            "epoch": epoch,
            "iat": now_s,
            "exp": expires_s,
            "jti": claims.id,
        }
        return jwt.encode(payload, self._key, algorithm=_ALGORITHM), claims

    def check(self, kind: TokenKind, token: str) -> Claims:
        """What ``token`` says, if it is one of ours, of this kind, and valid now.

        Raises:
            Unauthenticated: It is not; which of these, is not told.
        """
        if len(token) > _MAX_CHARACTERS:
            raise _wrong(kind)
        try:
            payload = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                audience=_AUDIENCE,
                leeway=_LEEWAY_S,
                options={"require": list(_CLAIMS), "strict_aud": True},
            )
        except jwt.PyJWTError:
            raise _wrong(kind) from None
        if payload["typ"] != kind.value:
            raise _wrong(kind)
        expires_at = datetime.fromtimestamp(payload["exp"], UTC)
        return Claims(payload["jti"], payload["sub"], payload["epoch"], expires_at)


def _wrong(kind: TokenKind) -> Unauthenticated:
    remedy = "log in again" if kind is TokenKind.REFRESH else "refresh it or log in again"
    return Unauthenticated(f"The {kind.value} token is not valid, or not any more; {remedy}.")
