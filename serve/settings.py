"""Settings of the HTTP side: where it listens, whom it answers, and how much it accepts."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

_THIS_MACHINE = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"


class ServeSettings(BaseModel):
    """One section of the root settings; see each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: Annotated[str, Field(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="TCP port to listen on.")] = 8000
    max_body_bytes: Annotated[
        int, Field(ge=1024, le=1 << 30, description="Largest request body, in bytes; a larger one is 413.")
    ] = 32 * 1024 * 1024
    max_dimension: Annotated[
        int, Field(ge=1, le=65536, description="Largest dimension a new collection may have.")
    ] = 16384
    max_batch_points: Annotated[
        int, Field(ge=1, le=1_000_000, description="Most vectors one request may insert.")
    ] = 10_000
    max_payload_bytes: Annotated[
        int,
        Field(
            ge=1024,
            le=1 << 30,
            description="Largest metadata of one vector, in bytes of JSON; its text may have as many "
            "characters.",
        ),
    ] = 1024 * 1024
    max_batch_urls: Annotated[
        int, Field(ge=1, le=10_000, description="Most URLs that one request may submit to a project.")
    ] = 1000
    max_project_urls: Annotated[
        int, Field(ge=1, le=1_000_000, description="Most URLs of one project; a list of them has them all.")
    ] = 100_000
    request_timeout_s: Annotated[
        float, Field(gt=0, le=3600, description="Seconds until a request without an answer gets a 503.")
    ] = 30.0
    max_upload_bytes: Annotated[
        int,
        Field(
            ge=1024,
            le=1 << 40,
            description="Largest file that may be uploaded, in bytes; a larger one is 413. Uploads go to the "
            "disk as they arrive, so `max_body_bytes` does not bound them.",
        ),
    ] = 64 * 1024 * 1024
    upload_timeout_s: Annotated[
        float,
        Field(
            gt=0,
            le=43_200,
            description="Seconds that a file may take to arrive. It is given up earlier if nothing of it "
            "arrives for `request_timeout_s`.",
        ),
    ] = 3600.0
    max_concurrent_requests: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="Most requests that one gateway process works on at a time; one more gets a 503. At "
            "a millisecond for a search, the default is an eighth of a second of work: whoever would wait "
            "longer is better told to try again.",
        ),
    ] = 128
    max_streams_per_user: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="Most streams of events that one user may have open at one gateway; one more gets a "
            "429. Callers without a credential are one user together.",
        ),
    ] = 16
    compress_min_bytes: Annotated[
        int,
        Field(
            ge=512,
            le=1 << 30,
            description="Smallest answer, in bytes, that is compressed for callers who send "
            "'Accept-Encoding: gzip'. Smaller ones are sent faster than they are compressed.",
        ),
    ] = 64 * 1024
    cors_origin_regex: Annotated[
        str,
        Field(
            description="Origins of web pages that may call this server, as a regular expression for the "
            "whole origin. A page of any other origin is refused, pages of this server excepted."
        ),
    ] = _THIS_MACHINE
    allowed_hosts: Annotated[
        tuple[str, ...],
        Field(
            description="Names, without port, that a request's Host header may have besides localhost, "
            "127.0.0.1, [::1] and `host`. '*' accepts every name, which is safe only where every request "
            "needs a credential."
        ),
    ] = ()

    rate_limit_per_minute: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000,
            description="Most requests in a minute of one user, their API keys included, and of one address "
            "without a valid credential; one more gets a 429. null for no limit but those of API keys. Each "
            "gateway counts by itself unless `rate_limits_url` is set.",
        ),
    ] = None
    rate_limits_url: Annotated[
        SecretStr | None,
        Field(
            description="Redis in which all gateways count requests and attempts to sign in together, such "
            "as redis://127.0.0.1:6379/0. While it is silent, each counts by itself. null for no Redis.",
        ),
    ] = None
    client_address_header: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Header in which a reverse proxy in front of this server says who called it, such as "
            "X-Forwarded-For; its last value counts. Set it only if every request comes through that proxy: "
            "anybody else could invent addresses. null for whoever connects.",
        ),
    ] = None

    @field_validator("rate_limits_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("redis://", "rediss://")):
            raise ValueError("must begin with redis:// or rediss://")
        return value

    @field_validator("cors_origin_regex")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error:
            raise ValueError("not a regular expression") from None
        return value
