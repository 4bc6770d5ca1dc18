"""Settings of accounts: passwords, tokens, and sign-in with other providers."""

from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr


def _keys_url(value: str) -> str:
    parts = urlsplit(value)
    on_this_machine = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and on_this_machine)):
        raise ValueError("must begin with https://")
    return value


def _tenant(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError("must be the UUID of a tenant") from None


def _tenant_or_common(value: str) -> str:
    return value if value == "common" else _tenant(value)


_ClientId = Annotated[str, Field(min_length=1)]
_KeysUrl = Annotated[str, AfterValidator(_keys_url)]


class AccountSettings(BaseModel):
    """One section of the root settings; see each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    signing_key: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="Secret that signs access and refresh tokens, the same in every gateway; better in the "
        "environment than in a file. null means one that the first start makes in the data folder.",
    )
    access_token_s: int = Field(
        default=900,
        ge=60,
        le=86_400,
        description="Seconds for which an access token is valid. It cannot be revoked before.",
    )
    refresh_token_s: int = Field(
        default=30 * 86_400,
        ge=3600,
        le=365 * 86_400,
        description="Seconds for which a refresh token can be exchanged for new tokens, once.",
    )
    password_threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Passwords that one gateway hashes or checks at a time. Each takes a CPU for about a "
        "tenth of a second.",
    )
    password_queue_length: int = Field(
        default=32,
        ge=0,
        le=10_000,
        description="Passwords that may wait in one gateway before more are refused as overload.",
    )
    password_memory_kib: int = Field(
        default=65_536,
        ge=19_456,
        le=1_048_576,
        description="Memory of one password hash (Argon2id), in KiB: what guessing passwords from a stolen "
        "catalog costs. Hashes made with another value stay valid, and are renewed when their user logs in.",
    )
    attempts_per_minute: int = Field(
        default=60,
        ge=1,
        le=1_000_000,
        description="Registrations, logins, sign-ins and refreshes of tokens that one address may try in a "
        "minute.",
    )
    failed_logins: int = Field(
        default=10,
        ge=1,
        le=1_000_000,
        description="Logins with one email that may fail in `failed_logins_window_s` from one address; from"
        " all addresses together ten times as many. More are refused, with the right password "
        "too.",
    )
    failed_logins_window_s: int = Field(
        default=900,
        ge=1,
        le=86_400,
        description="Seconds, from the first, for which failed logins are counted.",
    )
    google_client_ids: tuple[_ClientId, ...] = Field(
        default=(),
        description="OAuth client ids at Google whose users may sign in. None: no sign-in with Google.",
    )
    google_keys_url: _KeysUrl = Field(
        default="https://www.googleapis.com/oauth2/v3/certs",
        description="Where Google publishes the keys that sign its tokens (JWKS).",
    )
    microsoft_client_ids: tuple[_ClientId, ...] = Field(
        default=(),
        description="Ids of applications at Microsoft Entra ID whose users may sign in. None: no sign-in "
        "with Microsoft.",
    )
    microsoft_tenants: tuple[Annotated[str, AfterValidator(_tenant_or_common)], ...] = Field(
        default=(),
        description="Ids of the Microsoft tenants whose users may sign in; 'common' for every tenant there "
        "is.",
    )
    microsoft_email_tenants: tuple[Annotated[str, AfterValidator(_tenant)], ...] = Field(
        default=(),
        description="Ids of the Microsoft tenants whose administrators you trust with your users' accounts:"
        " every email that they write into a token is believed. Of other tenants, only emails "
        "are whose domain Microsoft knows to be theirs (the optional claim xms_edov).",
    )
    microsoft_keys_url: _KeysUrl = Field(
        default="https://login.microsoftonline.com/common/discovery/v2.0/keys",
        description="Where Microsoft publishes the keys that sign its tokens (JWKS).",
    )
