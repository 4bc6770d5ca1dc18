"""Settings of accounts: passwords and tokens."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


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
        "catalog costs. Hashes made with another value stay valid.",
    )
