"""The embedding section of the settings: models beside those that come with Vectoray."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    SerializationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

# Given as the context of ``model_dump(mode="json")`` by who hands settings to another process of ours.
WITH_SECRETS = {"secrets": True}

_ModelName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
        max_length=100,
        description="What collections and settings call the model.",
    ),
]


class LocalModelSettings(BaseModel):
    """A sentence-transformers model in a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _ModelName
    provider: Literal["sentence-transformers"]
    path: Path = Field(
        description="Folder with modules.json, config.json, tokenizer.json and model.safetensors, at the "
        "same place on every node."
    )
    max_tokens: int | None = Field(
        default=None,
        ge=8,
        le=1_000_000,
        description="Tokens that are read of a text, where it is to be fewer than the folder's files say.",
    )


class HttpModelSettings(BaseModel):
    """A model behind an endpoint that speaks OpenAI's protocol for embeddings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _ModelName
    provider: Literal["openai"]
    url: AnyHttpUrl = Field(
        description="Address of the endpoint, such as https://host/v1/embeddings. Without a password in it."
    )
    model: str = Field(min_length=1, max_length=200, description="What the endpoint calls the model.")
    dimension: int = Field(ge=1, le=65_536, description="Length of its vectors. Other lengths are refused.")
    api_key: SecretStr | None = Field(
        default=None, description="Sent as a bearer token. It is never logged and never told."
    )
    send_dimension: bool = Field(
        default=False,
        description="Whether the endpoint is asked for vectors of `dimension`; for models that can shorten "
        "theirs.",
    )
    encoding: Literal["base64", "float"] = Field(
        default="base64",
        description="How vectors are asked for. Base64 is several times quicker to read; either is "
        "understood in answers.",
    )
    max_tokens: int = Field(
        default=512, ge=8, le=1_000_000, description="Tokens that the model reads of a text; for chunking."
    )
    max_chars: int = Field(
        default=24_000,
        ge=8,
        le=10_000_000,
        description="Characters that are sent of a text; the rest is left out. Some endpoints refuse a text "
        "that has more tokens than the model reads.",
    )
    batch_texts: int = Field(default=64, ge=1, le=2048, description="Texts in one request at most.")
    in_flight: int = Field(default=4, ge=1, le=256, description="Requests at the same time at most.")
    timeout_s: float = Field(
        default=60.0, gt=0, le=3600, description="Seconds that one request may take until its whole answer."
    )
    give_up_s: float = Field(
        default=300.0,
        gt=0,
        le=86_400,
        description="Seconds after which a request that failed for a passing reason is not tried again. A "
        "query is given up after `timeout_s`.",
    )

    @field_validator("url")
    @classmethod
    def _has_no_credentials(cls, value: AnyHttpUrl) -> AnyHttpUrl:
        if value.username or value.password:
            raise ValueError("give the credential as 'api_key', not in the URL")
        return value

    @field_serializer("api_key", when_used="json")
    def _masked_unless_asked_for(self, value: SecretStr | None, info: SerializationInfo[Any]) -> str | None:
        if value is None:
            return None
        asked_for = (info.context or {}).get("secrets", False)
        return value.get_secret_value() if asked_for else str(value)


ModelSettings = Annotated[LocalModelSettings | HttpModelSettings, Field(discriminator="provider")]


class EmbeddingSettings(BaseModel):
    """Which models turn texts into vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[ModelSettings, ...] = Field(
        default=(),
        max_length=100,
        description="Models beside those that come with Vectoray: folders of sentence-transformers, and "
        "endpoints that speak OpenAI's protocol. docs/ingestion.md describes their fields.",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError("two of 'models' have the same name")
        return self
