"""Rewrites the configuration that Ray Serve renders for HAProxy, and checks what came out.

Ray's template listens on all interfaces for metrics and statistics, answers its own errors as plain 500s and
lets any number of requests wait in the gateways. Nothing here depends on how the template is laid out, only
on HAProxy's grammar; a template that cannot be brought under the rules is refused, never run as it is.
"""

import ipaddress
from collections.abc import Iterable

from cluster.proxy.rules import ProxyRules
from cluster.proxy.sections import Section, parse, render
from cluster.proxy.streams import is_of_streams, with_streams, without_streams

_DISCONNECT_DISABLED = "x-request-disconnect-disabled"
# Headers by which callers inside a cluster steer Ray Serve: deadlines, routing, what is watched, and what a
# request is called in its logs. Ray Serve fails, outside of our code, at a name that is no UTF-8.
STEERING_HEADERS = (
    "x-request-timeout-seconds",
    _DISCONNECT_DISABLED,
    "x-session-id",
    "serve_multiplexed_model_id",
    "serve-multiplexed-model-id",
    "x-request-id",
)
STEERING_PREFIX = "x-serve-router-"
CLIENT_ADDRESS_HEADER = "x-vectoray-client-address"
"""Tells the gateways who connected to HAProxy; what a client sends by this name never reaches them."""

# Methods and paths whose requests change nothing: they are sent again when a gateway dies under them. What is
# deleted may be called "search".
_REPEATABLE = "{ method GET HEAD OPTIONS } || { method POST } { path_end /search }"
# Asked by whoever wants to know whether the server is alive, also when it is busy.
_ALIVE = "{ path /healthz }"
_RECEIVE_TIMEOUT = "30s"
# A refusal takes its time: clients that ask again at once would keep the processor busy with refusing them.
_REFUSED_AFTER = "500ms"
# Gateways wait for no client that sends slowly, and only what came whole can be sent again. Of a body larger
# than HAProxy's buffer, the first part is waited for.
_WHOLE_REQUESTS = ["option", "http-buffer-request"]


class RulesNotMet(Exception):
    """The configuration cannot be brought under the rules; the message says which."""


def rewrite(config: str, rules: ProxyRules) -> str:
    """The configuration under ``rules``. Rewriting twice changes nothing more.

    Raises:
        RulesNotMet: It cannot be brought under them.
    """
    kept = without_streams(section for section in parse(config) if not _tells_statistics(section))
    frontends = [section.name for section in kept if section.kind in ("frontend", "listen")]
    if len(frontends) != 1:
        raise RulesNotMet(f"Ray Serve's proxy has the frontends {frontends} where one was expected")
    rewritten = render(with_streams([_rewrite_section(section, rules) for section in kept], rules))
    check(rewritten, rules)
    return rewritten


def _tells_statistics(section: Section) -> bool:
    """Whether it serves nobody but those who watch HAProxy; they can use its private socket."""
    if section.kind not in ("frontend", "listen"):
        return False
    return section.has("stats") or any("prometheus-exporter" in line for line in section.lines)


def _rewrite_section(section: Section, rules: ProxyRules) -> Section:
    lines = [line for line in section.lines if not _logs(line)]
    if section.kind == "global":
        lines = [_private_socket(line) for line in lines]
    elif section.kind == "defaults":
        lines = _with_defaults(lines, rules)
    elif section.kind in ("frontend", "listen"):
        lines = _with_own_address(lines, rules)
    elif section.kind == "backend":
        servers = [line for line in lines if line[0] == "server"]
        lines = _with_bounds(lines, section.name, rules) if servers else _answer_unavailable(lines)
    return Section(section.kind, section.name, lines)


def _logs(line: list[str]) -> bool:
    """Whether it tells others of this machine, over UDP, who asked for what."""
    return line[0] in ("log", "log-format", "log-format-sd") or line[:2] == ["option", "httplog"]


def _private_socket(line: list[str]) -> list[str]:
    if line[:2] != ["stats", "socket"] or "mode" not in line:
        return line
    mode_at = line.index("mode") + 1
    return [*line[:mode_at], "600", *line[mode_at + 1 :]]


def _with_defaults(lines: list[list[str]], rules: ProxyRules) -> list[list[str]]:
    ours = [*_error_files(rules), *_timeouts(rules), _WHOLE_REQUESTS]
    replaced = {tuple(line[:2]) for line in ours}
    return [line for line in lines if line[0] != "errorfile" and tuple(line[:2]) not in replaced] + ours


def _timeouts(rules: ProxyRules) -> list[list[str]]:
    return [
        ["timeout", "http-request", _RECEIVE_TIMEOUT],
        ["timeout", "queue", f"{rules.queue_timeout_ms}ms"],
        ["timeout", "server", f"{rules.silence_timeout_ms}ms"],
        ["timeout", "tarpit", _REFUSED_AFTER],
    ]


def _error_files(rules: ProxyRules) -> list[list[str]]:
    return [["errorfile", status, path] for status, path in sorted(rules.error_pages.items())]


def _with_own_address(lines: list[list[str]], rules: ProxyRules) -> list[list[str]]:
    first = [["bind", rules.listen]]
    first += [["http-request", "del-header", header] for header in STEERING_HEADERS]
    first += [["http-request", "del-header", STEERING_PREFIX, "-m", "beg"]]
    # It costs a task for each request to watch for clients that leave. Late requests are given up anyway,
    # and answers that stream notice by themselves.
    first += [["http-request", "set-header", _DISCONNECT_DISABLED, "?1"]]
    first += [["http-request", "set-header", CLIENT_ADDRESS_HEADER, "%[src]"]]
    return first + [line for line in lines if line[0] != "bind" and line not in first]


def _with_bounds(lines: list[list[str]], name: str, rules: ProxyRules) -> list[list[str]]:
    first = [
        f"http-request tarpit deny_status 503 if {{ queue({name}) ge {rules.max_queued} }} !{_ALIVE}".split(),
        f"http-request set-priority-class int(-1) if {_ALIVE}".split(),
        f"http-request disable-l7-retry unless {_REPEATABLE}".split(),
    ]
    rest = [line for line in lines if line not in first and line[0] != "timeout"]
    return first + [_bounded(line, rules) if line[0] == "server" else line for line in rest]


def _bounded(server: list[str], rules: ProxyRules) -> list[str]:
    if "maxconn" in server:
        at = server.index("maxconn")
        server = server[:at] + server[at + 2 :]
    return [*server, "maxconn", str(rules.max_in_flight)]


def _answer_unavailable(lines: list[list[str]]) -> list[list[str]]:
    """Where no gateway is there yet, that is what to say, not that the path is unknown."""
    rest = [line for line in lines if line[:2] != ["http-request", "return"]]
    return [*rest, ["http-request", "return", "status", "503", "default-errorfiles"]]


def check(config: str, rules: ProxyRules) -> None:
    """Look at what HAProxy will read, however it came about.

    Raises:
        RulesNotMet: It breaks a rule.
    """
    sections = parse(config)
    binds = [line[1] for section in sections for line in section.find("bind")]
    if binds != [rules.listen]:
        raise RulesNotMet(f"HAProxy would listen on {binds}, not on {rules.listen}")
    if rules.loopback_only and not all(_on_loopback(bind) for bind in binds):
        raise RulesNotMet(f"HAProxy would listen on {binds}, which is not loopback")
    sockets = [line for section in sections for line in section.find("stats") if line[1:2] == ["socket"]]
    if not all(line[2].startswith("/") and _mode(line) == "600" for line in sockets):
        raise RulesNotMet("HAProxy's administration would be open to others")
    if any(section.has("stats") for section in sections if section.kind != "global"):
        raise RulesNotMet("HAProxy's statistics would be open to others")
    for section in sections:
        bound = rules.max_streams if is_of_streams(section) else rules.max_in_flight
        if not all(line[-2:] == ["maxconn", str(bound)] for line in section.find("server")):
            raise RulesNotMet("the requests in flight of a gateway would have no bound")
    _check_defaults([section for section in sections if section.kind == "defaults"], rules)


def _check_defaults(defaults: Iterable[Section], rules: ProxyRules) -> None:
    wanted = [*_error_files(rules), *_timeouts(rules)]
    found = [section.lines for section in defaults]
    if not found or not all(line in lines for line in wanted for lines in found):
        raise RulesNotMet("HAProxy's own errors and its queue would be as Ray Serve has them")


def _mode(stats_socket: list[str]) -> str | None:
    return stats_socket[stats_socket.index("mode") + 1] if "mode" in stats_socket else None


def _on_loopback(bind: str) -> bool:
    host = bind.rpartition(":")[0]
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
