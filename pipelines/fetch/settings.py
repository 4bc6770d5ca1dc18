"""The settings of fetching web pages."""

import re
from ipaddress import ip_network

from pydantic import BaseModel, ConfigDict, Field, field_validator

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


class FetchSettings(BaseModel):
    """How web pages are fetched, from where, and how politely. Each fetching process counts for itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow_hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that may be fetched from although they are not public, at any port: names, "
        "addresses, or networks such as 10.1.0.0/16. All who may submit URLs can then read what those hosts "
        "serve. A name allows whatever address it has; an address allows every name that leads to it.",
    )
    allow_ports: tuple[int, ...] = Field(
        default=(80, 443, 8080, 8443),
        description="Ports of public hosts that may be fetched from.",
    )
    user_agent: str = Field(
        default="Vectoray",
        pattern=r"^[A-Za-z0-9_-]+([/ ][ -~]*)?$",
        max_length=200,
        description="What we call ourselves, such as 'MyBot/1.0 (+https://example.com/bot)'. What comes "
        "before the first slash or space is the name that robots.txt files know.",
    )
    max_in_flight: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="Requests under way at a time, to all hosts together.",
    )
    max_in_flight_per_host: int = Field(
        default=4,
        ge=1,
        le=4096,
        description="Requests under way at a time to one host.",
    )
    host_delay_s: float = Field(
        default=0.1,
        ge=0,
        le=3600,
        description="Seconds from the start of one request to a host until the next, at least. A longer "
        "Crawl-delay of the host's robots.txt is kept instead.",
    )
    max_crawl_delay_s: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="Seconds. A Crawl-delay above this counts as this.",
    )
    connect_timeout_s: float = Field(
        default=10,
        gt=0,
        le=600,
        description="Seconds until a connection to a host must stand.",
    )
    read_timeout_s: float = Field(
        default=15,
        gt=0,
        le=600,
        description="Seconds for which a host may send nothing.",
    )
    total_timeout_s: float = Field(
        default=30,
        gt=0,
        le=3600,
        description="Seconds that hosts may take for one page: all its redirects and tries together, without "
        "the time it waits for its turn.",
    )
    max_page_bytes: int = Field(
        default=16 * 2**20,
        ge=1,
        le=2**30,
        description="Bytes. A page that is larger, sent or decompressed, is refused.",
    )
    max_redirects: int = Field(
        default=10,
        ge=0,
        le=50,
        description="Redirects from one page to the next that are followed.",
    )
    max_tries: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Tries of a request whose connection fails, or that is answered with 429 or 5xx.",
    )
    retry_base_s: float = Field(
        default=0.5,
        ge=0,
        le=60,
        description="Seconds. The second try comes after a random time up to this, the third after one up to "
        "twice this, and so on.",
    )
    max_retry_wait_s: float = Field(
        default=30,
        ge=0,
        le=3600,
        description="Seconds waited before another try at most. A page whose host asks for a longer wait "
        "(Retry-After) fails at once.",
    )
    robots_ttl_s: float = Field(
        default=3600,
        ge=0,
        le=86_400,
        description="Seconds for which a robots.txt is remembered.",
    )
    robots_retry_s: float = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Seconds for which a site is left alone whose robots.txt cannot be read.",
    )

    @field_validator("allow_hosts")
    @classmethod
    def _names_or_networks(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_host(told) for told in hosts)

    @field_validator("allow_ports")
    @classmethod
    def _ports(cls, ports: tuple[int, ...]) -> tuple[int, ...]:
        if not all(1 <= port <= 65_535 for port in ports):
            raise ValueError("a port is a number from 1 to 65535")
        return ports


def _host(told: str) -> str:
    """One spelling of a host name; an address or network as it is."""
    host = told.strip().removeprefix("[").removesuffix("]").removesuffix(".").lower()
    try:
        ip_network(host)
    except ValueError:
        last = host.rpartition(".")[2]
        if _HOST_NAME.fullmatch(host) is None or last.isdecimal() or "/" in host:
            raise ValueError(
                f"'{told}' is no host name, address or network; an entry is like 'docs.example', "
                "'10.0.0.7' or '10.0.0.0/8', without scheme and port"
            ) from None
    return host
