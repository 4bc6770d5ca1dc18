"""Which URLs may be submitted, and one spelling for all spellings of one."""

import re

from yarl import URL

from vectoray.core.errors import InvalidRequest

MAX_URL_CHARS = 2048

_MAX_HOST_CHARS = 253
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?")


def normalise(told: str, *, where: str) -> str:
    """One spelling of a URL: two that differ in spelling only, and surely name one page, have the same.

    Scheme and host are in small letters, the host in ASCII (IDNA); the port is left out where it is the
    scheme's own, and the fragment always; what needs no percent sign has none, and what needs one has it;
    ``.`` and ``..`` are gone from the path. The query stays as it is, for a site may care about the order of
    its values; where there are no values, its keys are sorted.

    Args:
        told: What a caller calls it.
        where: How to name it in an error, such as ``urls[3]``.

    Raises:
        InvalidRequest: It is no URL of http or https with a host, holds a name or password, or is too long.
    """
    if len(told) > MAX_URL_CHARS:
        raise _refusal(where, f"has {len(told)} characters, at most {MAX_URL_CHARS} are allowed")
    if not told.isprintable() or " " in told:
        raise _refusal(where, "has a space or a control character; percent-encode it")
    try:
        url = URL(told)
        host, port = url.raw_host, url.port
    except ValueError:
        raise _refusal(where, "is not a URL") from None
    if url.scheme not in ("http", "https"):
        raise _refusal(where, "must begin with 'http://' or 'https://'")
    if not host or not _is_host(host) or port == 0:
        raise _refusal(where, "has no valid host")
    if url.raw_user is not None or url.raw_password is not None:
        raise _refusal(where, "holds a user name or password, which others would see")
    query = _query(url)
    spelled = f"{url.origin()}{url.raw_path or '/'}{'?' if query else ''}{query}"
    if len(spelled) > MAX_URL_CHARS:
        raise _refusal(where, f"has more than {MAX_URL_CHARS} characters when it is percent-encoded")
    return spelled


def _is_host(host: str) -> bool:
    # In brackets, yarl lets nothing but an IPv6 address pass.
    return ":" in host or (len(host) <= _MAX_HOST_CHARS and _NAME.fullmatch(host) is not None)


def _query(url: URL) -> str:
    query = url.raw_query_string
    keys = [part.removesuffix("=") for part in query.split("&")]
    if any("=" in key for key in keys):
        return query
    return "&".join(sorted(key for key in keys if key))


def _refusal(where: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{where} {problem}.", {"at": where})
