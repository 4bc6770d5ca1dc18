"""The public keys by which a provider signs its tokens, fetched from where it publishes them (JWKS)."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from vectoray.core.errors import Unavailable

_log = structlog.get_logger(__name__)

_FRESH_S = 3600.0
# Longer without news of the provider, and a key that it has withdrawn would still be taken.
_STALE_S = 86_400.0
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 64
_KEY_BITS = range(2048, 8193)


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """A key, and for whose tokens it is.

    Attributes:
        issuer: As Microsoft writes it, with ``{tenantid}`` for every tenant; None where the set does not say.
    """

    public: RSAPublicKey
    issuer: str | None


class KeySet:
    """Remembers a provider's keys for an hour, and asks for those that it does not know.

    Anybody can send tokens that name keys nobody has. So the provider is asked at most once in ``pause_s``
    seconds, by one caller for all, whatever is sent.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, pause_s: float = 30.0) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._keys: Mapping[str, ProviderKey] = {}
        self._fetched_s = self._tried_s = float("-inf")
        self._fetching = asyncio.Lock()

    async def find(self, key_id: str) -> ProviderKey | None:
        """The key of this id (``kid``); None if the provider has no such key.

        Raises:
            Unavailable: The provider's keys are not known, and cannot be fetched now.
        """
        if self._must_fetch(key_id):
            async with self._fetching:
                if self._must_fetch(key_id):
                    await self._fetch()
        if time.monotonic() - self._fetched_s > _STALE_S:
            raise Unavailable("The keys of the sign-in provider cannot be fetched now; try again later.")
        return self._keys.get(key_id)

    def _must_fetch(self, key_id: str) -> bool:
        now_s = time.monotonic()
        known = key_id in self._keys and now_s - self._fetched_s < _FRESH_S
        return not known and now_s - self._tried_s >= self._pause_s

    async def _fetch(self) -> None:
        """Take over what is published; what cannot be read changes nothing."""
        try:
            async with asyncio.timeout(self._timeout_s):
                document = orjson.loads(await self._download())
            keys = _usable_keys(document)
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            _log.warning("provider_keys_not_fetched", reason=type(error).__name__)
        else:
            self._keys, self._fetched_s = keys, time.monotonic()
        # Not before: who comes meanwhile waits for what this brings.
        self._tried_s = time.monotonic()

    async def _download(self) -> bytes:
        """What is published. Redirects are not followed: the address of keys does not move."""
        async with (
            httpx.AsyncClient(timeout=self._timeout_s, follow_redirects=False) as client,
            client.stream("GET", self._url, headers={"accept-encoding": "identity"}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ValueError("not found there")
            body = bytearray()
            # Raw: what is compressed all the same could grow in one step beyond any limit.
            async for part in response.aiter_raw(chunk_size=16_384):
                body += part
                if len(body) > _MAX_BYTES:
                    raise ValueError("too large")
            return bytes(body)


def _usable_keys(document: Any) -> Mapping[str, ProviderKey]:
    """The keys that can have signed a token by RS256; others in the set are for others.

    Raises:
        ValueError: There is none, or it is no set of keys.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > _MAX_KEYS:
        raise ValueError("no set of keys")
    keys = {}
    for entry in entries:
        key = _usable_key(entry) if isinstance(entry, dict) else None
        if key is not None:
            keys[entry["kid"]] = key
    if not keys:
        raise ValueError("no usable key")
    return keys


def _usable_key(entry: Mapping[str, Any]) -> ProviderKey | None:
    issuer = entry.get("issuer")
    if (
        entry.get("kty") != "RSA"
        or entry.get("use", "sig") != "sig"
        or entry.get("alg", "RS256") != "RS256"
        or not isinstance(entry.get("kid"), str)
        or not isinstance(issuer, str | None)
    ):
        return None
    try:
        public = jwt.PyJWK(dict(entry), "RS256").key
    except jwt.PyJWTError:
        return None
    if not isinstance(public, RSAPublicKey) or public.key_size not in _KEY_BITS:
        return None
    return ProviderKey(public, issuer)
