"""What fetching a URL gives: a page, word that it is unchanged, or an error for people."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vectoray.core.errors import InvalidRequest


class RobotsVerdict(StrEnum):
    """Why a page could be fetched."""

    ALLOWED = "allowed"
    """The site's robots.txt allows it."""
    NO_RULES = "no_rules"
    """The site has no robots.txt."""


class FetchFailure(StrEnum):
    """Stable names of what can go wrong."""

    INVALID_URL = "invalid_url"
    NOT_PUBLIC = "not_public"
    PORT_NOT_ALLOWED = "port_not_allowed"
    ROBOTS_DISALLOWED = "robots_disallowed"
    ROBOTS_UNAVAILABLE = "robots_unavailable"
    HOST_NOT_FOUND = "host_not_found"
    CONNECTION_FAILED = "connection_failed"
    TLS_FAILED = "tls_failed"
    TIMED_OUT = "timed_out"
    TOO_LARGE = "too_large"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    REDIRECT_LOOP = "redirect_loop"
    BAD_REDIRECT = "bad_redirect"
    BAD_RESPONSE = "bad_response"
    EMPTY = "empty"
    NOT_FOUND = "not_found"
    ACCESS_DENIED = "access_denied"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNEXPECTED_STATUS = "unexpected_status"


class FetchError(InvalidRequest):
    """A page that could not be fetched.

    The message is for whoever submitted the URL. It names no address, and no host at all: what a name
    inside the network leads to, or where a redirect goes, is not theirs to learn from us.
    """

    @classmethod
    def of(cls, failure: FetchFailure, sentence: str) -> "FetchError":
        """An error with its stable name."""
        return cls(sentence, {"reason": failure.value})

    @property
    def reason(self) -> FetchFailure:
        """What went wrong."""
        return FetchFailure(str(self.details["reason"]))


@dataclass(frozen=True, slots=True)
class Validators:
    """What makes the next fetch of a page conditional.

    Attributes:
        url: Where the page came from, behind all redirects. Nothing is sent to any other URL.
        etag: As the server sent it.
        last_modified: As the server sent it.
    """

    url: str
    etag: str | None
    last_modified: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as its server sent it.

    Attributes:
        asked: The URL that was to be fetched.
        url: The one the page came from, behind all redirects.
        status: HTTP status, from 200 to 299.
        media_type: What the bytes are, such as ``text/html``; the server's word where they do not tell.
        charset: Python's name of the encoding by a byte order mark or the server; None if neither tells.
        body: Decompressed, not empty.
        validators: For the next fetch; None if the server sent none.
        fetched_at: When it had arrived, UTC.
        robots: Why it could be fetched.
    """

    asked: str
    url: str
    status: int
    media_type: str
    charset: str | None
    body: bytes
    validators: Validators | None
    fetched_at: datetime
    robots: RobotsVerdict


@dataclass(frozen=True, slots=True)
class NotModified:
    """A page that is what it was when its validators came.

    Attributes:
        asked: The URL that was to be fetched.
        url: The one that said so, behind all redirects.
        validators: For the next fetch.
        fetched_at: When it said so, UTC.
        robots: Why it could be asked.
    """

    asked: str
    url: str
    validators: Validators
    fetched_at: datetime
    robots: RobotsVerdict
