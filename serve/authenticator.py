"""Checks credentials: from what was sent to a principal.

This is on the way of every request that has a credential, so those found right are remembered: for a few
seconds, and no longer than the catalog stays as it is.
"""

import hashlib
import time
from dataclasses import dataclass, replace

from serve.auth import Credential, CredentialKind, Principal
from serve.credentials.key_secret import PREFIX, KeySecret
from serve.credentials.tokens import TokenKind, Tokens
from serve.key_use import KeyUse
from storage.catalog import Accounts, ApiKeys
from storage.catalog.cache import CatalogCache
from vectoray.core.accounts import Scope, User
from vectoray.core.errors import Unauthenticated

_REMEMBERED_S = 5.0


@dataclass(frozen=True, slots=True)
class _Known:
    """Who a credential is, until when (seconds since 1970)."""

    principal: Principal
    until_s: float


class Authenticator:
    """Knows access tokens and API keys."""

    def __init__(
        self, accounts: Accounts, keys: ApiKeys, tokens: Tokens, use: KeyUse, cache: CatalogCache[_Known]
    ) -> None:
        """An authenticator that remembers in ``cache``, which nobody else uses."""
        self._accounts = accounts
        self._keys = keys
        self._tokens = tokens
        self._use = use
        self._cache = cache

    async def authenticate(self, credential: Credential, *, with_local: bool) -> Principal:
        """Who sent ``credential``.

        Args:
            credential: An access token as bearer, or an API key in either way.
            with_local: Whether who is signed in also has the collections of the built-in user.

        Raises:
            Unauthenticated: It is wrong, has expired, or its user is not active.
        """
        # What is kept in memory is no credential.
        digest = (hashlib.sha256(credential.secret.encode()).digest(), credential.kind, with_local)
        known = self._cache.get(digest)
        if known is None or time.time() >= known.until_s:
            as_of = self._cache.as_of
            known = await self._check(credential, with_local=with_local)
            self._cache.keep(digest, known, as_of=as_of)
        principal = known.principal
        if principal.key_id is not None:
            self._use.note(principal.key_id)
        return principal

    async def _check(self, credential: Credential, *, with_local: bool) -> _Known:
        is_key = credential.kind is CredentialKind.API_KEY or credential.secret.startswith(PREFIX)
        known = await (self._by_key(credential.secret) if is_key else self._by_token(credential.secret))
        return _Known(
            replace(known.principal, with_local=with_local), min(known.until_s, time.time() + _REMEMBERED_S)
        )

    async def _by_token(self, token: str) -> _Known:
        claims = self._tokens.check(TokenKind.ACCESS, token)
        user = _active(await self._accounts.user(claims.user))
        if claims.epoch != user.epoch:
            raise _refusal()
        principal = Principal(user.id, is_admin=user.is_admin, epoch=user.epoch)
        return _Known(principal, claims.expires_at.timestamp())

    async def _by_key(self, text: str) -> _Known:
        sent = KeySecret.parse(text)
        stored = await self._keys.find(sent.key_id) if sent is not None else None
        if sent is None or stored is None or not sent.matches(stored.secret_hash):
            raise _refusal()
        key, user = stored.key, _active(stored.user)
        until_s = float("inf") if key.expires_at is None else key.expires_at.timestamp()
        if time.time() >= until_s:
            raise _refusal()
        principal = Principal(
            user.id,
            is_admin=user.is_admin and Scope.ADMIN in key.scopes,
            scopes=key.scopes,
            collections=key.collections,
            key_id=key.id,
            epoch=user.epoch,
            rate_limit=key.rate_limit,
        )
        return _Known(principal, until_s)


def _active(user: User | None) -> User:
    if user is None or not user.is_active:
        raise _refusal()
    return user


def _refusal() -> Unauthenticated:
    return Unauthenticated("The credential is not valid, or not any more.")
