"""Gives streams of events places of their own in HAProxy: a second backend with the same gateways.

A stream lasts for as long as its client likes. In the backend of the other requests it would take one of the
few places that a gateway has there, and a few dozen streams would leave none.
"""

from collections.abc import Iterable

from cluster.proxy.rules import ProxyRules
from cluster.proxy.sections import Section

SUFFIX = "-streams"

_IS_STREAM = "vectoray_stream"
# Paths as the application reads them, so that no spelling of one takes a place among the others.
_ACLS = [
    ["acl", _IS_STREAM, "path,url_dec", "-m", "str", "/v1/stream", "/v1/events", "/mcp"],
    ["acl", _IS_STREAM, "path,url_dec", "-m", "reg", "^/api/ingestion/jobs/[^/]+/progress$"],
]
# A gateway sends a comment every 15 seconds where it has nothing else to send.
_SILENCE = ["timeout", "server", "60s"]


def without_streams(sections: Iterable[Section]) -> list[Section]:
    """The sections as they were before `with_streams`."""
    return [
        Section(section.kind, section.name, [line for line in section.lines if not _is_ours(line)])
        for section in sections
        if not is_of_streams(section)
    ]


def with_streams(sections: Iterable[Section], rules: ProxyRules) -> list[Section]:
    """The sections, in which streams go to backends of their own."""
    result: list[Section] = []
    for section in sections:
        if section.kind in ("frontend", "listen"):
            result.append(Section(section.kind, section.name, _chosen(section.lines)))
        else:
            result.append(section)
            if section.kind == "backend" and section.has("server"):
                result.append(_of_streams(section, rules))
    return result


def is_of_streams(section: Section) -> bool:
    """Whether it is a backend for streams."""
    return section.kind == "backend" and section.name.endswith(SUFFIX)


def _chosen(lines: list[list[str]]) -> list[list[str]]:
    """The statements of a frontend; for a stream, the backend that is chosen is the one for streams."""
    choices = [line for line in lines if line[0] == "use_backend"]
    if not choices:
        return lines
    first = lines.index(choices[0])
    for_streams = [
        ["use_backend", f"{name}{SUFFIX}", *condition, _IS_STREAM, "METH_GET"]
        for _, name, *condition in choices
    ]
    return [*lines[:first], *_ACLS, *for_streams, *lines[first:]]


def _of_streams(backend: Section, rules: ProxyRules) -> Section:
    name = f"{backend.name}{SUFFIX}"
    servers = [_tracking(line, backend.name, rules) for line in backend.lines if line[0] == "server"]
    queue = f"http-request tarpit deny_status 503 if {{ queue({name}) ge {rules.max_queued} }}".split()
    return Section("backend", name, [queue, _SILENCE, *servers])


def _tracking(server: list[str], backend: str, rules: ProxyRules) -> list[str]:
    """The same gateway, which is as well as the other backend finds it."""
    _, name, address, *options = server
    backup = ["backup"] if "backup" in options else []
    return ["server", name, address, "track", f"{backend}/{name}", *backup, "maxconn", str(rules.max_streams)]


def _is_ours(line: list[str]) -> bool:
    return line in _ACLS or (line[0] == "use_backend" and line[1].endswith(SUFFIX))
