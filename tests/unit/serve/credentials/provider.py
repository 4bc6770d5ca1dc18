"""A provider of sign-in on this machine: it publishes real RSA keys, and signs what a test wants signed."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

CLIENT_ID = "our-app.apps.example"
TENANT = "11111111-2222-3333-4444-555555555555"
OID = "99999999-8888-7777-6666-555555555555"


@cache
def rsa_key(name: str) -> RSAPrivateKey:
    """The key of this name. Making one takes a while, so tests share them."""
    return generate_private_key(65537, 1024 if name == "short" else 2048)


def jwk(name: str, **more: Any) -> dict[str, Any]:
    """The public half of a key, as it is published."""
    public: dict[str, Any] = orjson.loads(RSAAlgorithm.to_jwk(rsa_key(name).public_key()))
    public.pop("key_ops")
    return {**public, "kid": name, "use": "sig", "alg": "RS256", **more}


class Provider:
    """What is published, and how often it was asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.asked = 0
        self.answer = published(jwk("a"))
        self.was_asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, once `go_on` is set."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            self.was_asked.set()
            await self.go_on.wait()
            writer.write(self.answer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # who asked has left
        finally:
            writer.close()


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """An answer as its bytes."""
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def published(*keys: dict[str, Any]) -> bytes:
    """The answer that publishes these keys."""
    return response(orjson.dumps({"keys": keys}))


@asynccontextmanager
async def provider_running() -> AsyncIterator[Provider]:
    """A provider that publishes the key ``a``."""
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
    try:
        yield provider
    finally:
        provider.go_on.set()
        server.close()
        await server.wait_closed()


def google_claims(**changes: Any) -> dict[str, Any]:
    """What Google says of Ann. None removes a claim."""
    now_s = int(time.time())
    claims = {
        "iss": "https://accounts.google.com",
        "aud": CLIENT_ID,
        "sub": "1234567890",
        "email": "ann@example.com",
        "email_verified": True,
        "name": "Ann",
        "iat": now_s,
        "exp": now_s + 3600,
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def microsoft_claims(**changes: Any) -> dict[str, Any]:
    """What Microsoft says of Ann. None removes a claim."""
    return google_claims(
        **{
            "iss": f"https://login.microsoftonline.com/{TENANT}/v2.0",
            "tid": TENANT,
            "oid": OID,
            "email_verified": None,
            "xms_edov": True,
            **changes,
        }
    )


def signed(claims: dict[str, Any], key: str = "a", *, kid: str | None = None) -> str:
    """A token that says so, by the key of this name."""
    # Not `jwt.encode`, which signs no nonsense.
    return jwt.PyJWS().encode(orjson.dumps(claims), rsa_key(key), "RS256", headers={"kid": kid or key})
