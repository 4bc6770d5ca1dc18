"""The rewriting of HAProxy's configuration, as text; `tests/integration/test_proxy.py` runs the outcome."""

import re

import pytest

from cluster.proxy.rewrite import RulesNotMet, check, rewrite
from cluster.proxy.rules import ProxyRules
from cluster.proxy.sections import parse, render

RULES = ProxyRules(
    listen="127.0.0.1:8000",
    loopback_only=True,
    max_in_flight=32,
    max_streams=1000,
    max_queued=512,
    queue_timeout_ms=5000,
    silence_timeout_ms=40_000,
    error_pages={"503": "/run/503.page", "502": "/run/502.page"},
)

RENDERED = r"""
global
    log 127.0.0.1:514 local0 info
    # a comment
    stats socket /run/admin.sock mode 666 level admin expose-fd listeners
    stats timeout 30s
defaults
    mode http
    option httplog
    log global
    timeout connect 5s
    timeout queue 99s
    errorfile 502 /tmp/500.http
    errorfile 504 /tmp/500.http
frontend prometheus
    bind :9101
    http-request use-service prometheus-exporter if { path /metrics }
frontend http_frontend
    bind *:8000
    log-format-sd "%{+Q,+E}o [serve@1 app=%[var(txn.serve_app)]]"
    http-request return status 200 string "{\"/\":  \"gateway\"}" if { path /-/routes }
    use_backend http-gateway if { path_beg / }
    default_backend default_backend
backend default_backend
    http-request return status 404 content-type text/plain lf-string "Path \'%[path]\' not found."
backend http-gateway
    timeout server 1h
    default-server check
    server one 127.0.0.1:20000 check observe layer4
    server two 127.0.0.1:20001 check backup
listen stats
  bind *:8404
  stats enable
  stats uri /stats
"""


def section(text: str, kind: str, name: str = "") -> list[str]:
    (lines,) = [found.lines for found in parse(text) if (found.kind, found.name) == (kind, name)]
    return [" ".join(words) for words in lines]


def test_only_the_servers_own_address_is_listened_on() -> None:
    assert re.findall(r"bind (\S+)", rewrite(RENDERED, RULES)) == ["127.0.0.1:8000"]


def test_nobody_is_told_who_asks_for_what() -> None:
    assert not re.search(r"^\s+(log|option httplog)", rewrite(RENDERED, RULES), re.MULTILINE)


def test_the_administration_socket_is_the_owners() -> None:
    assert section(rewrite(RENDERED, RULES), "global") == [
        "stats socket /run/admin.sock mode 600 level admin expose-fd listeners",
        "stats timeout 30s",
    ]


def test_errors_and_time_limits_are_ours_and_the_rest_stays() -> None:
    assert section(rewrite(RENDERED, RULES), "defaults") == [
        "mode http",
        "timeout connect 5s",
        "errorfile 502 /run/502.page",
        "errorfile 503 /run/503.page",
        "timeout http-request 30s",
        "timeout queue 5000ms",
        "timeout server 40000ms",
        "timeout tarpit 500ms",
        "option http-buffer-request",
    ]


def test_gateways_are_bounded_and_so_is_their_queue() -> None:
    lines = section(rewrite(RENDERED, RULES), "backend", "http-gateway")
    assert lines[0] == (
        "http-request tarpit deny_status 503 if { queue(http-gateway) ge 512 } !{ path /healthz }"
    )
    assert lines[-2:] == [
        "server one 127.0.0.1:20000 check observe layer4 maxconn 32",
        "server two 127.0.0.1:20001 check backup maxconn 32",
    ]
    assert not [line for line in lines if line.startswith("timeout")]


def test_streams_go_to_the_same_gateways_by_a_backend_of_their_own() -> None:
    rewritten = rewrite(RENDERED, RULES)
    chosen = [line for line in section(rewritten, "frontend", "http_frontend") if "stream" in line]
    assert chosen == [
        "acl vectoray_stream path,url_dec -m str /v1/stream /v1/events /mcp",
        "acl vectoray_stream path,url_dec -m reg ^/api/ingestion/jobs/[^/]+/progress$",
        "use_backend http-gateway-streams if { path_beg / } vectoray_stream METH_GET",
    ]
    assert section(rewritten, "backend", "http-gateway-streams") == [
        "http-request tarpit deny_status 503 if { queue(http-gateway-streams) ge 512 }",
        "timeout server 60s",
        "server one 127.0.0.1:20000 track http-gateway/one maxconn 1000",
        "server two 127.0.0.1:20001 track http-gateway/two backup maxconn 1000",
    ]


def test_quoted_words_stay_as_they_are() -> None:
    assert r'status 200 string "{\"/\":  \"gateway\"}" if { path /-/routes }' in rewrite(RENDERED, RULES)


def test_no_gateway_is_not_an_unknown_path() -> None:
    assert section(rewrite(RENDERED, RULES), "backend", "default_backend") == [
        "http-request return status 503 default-errorfiles"
    ]


def test_rewriting_again_changes_nothing() -> None:
    once = rewrite(RENDERED, RULES)
    assert rewrite(once, RULES) == once


def test_other_bounds_replace_those_of_before() -> None:
    once = rewrite(RENDERED, RULES)
    wider = RULES._replace(max_in_flight=64, queue_timeout_ms=1)
    again = rewrite(once, wider)
    assert re.findall(r"maxconn (\d+)", again) == ["64", "64", "1000", "1000"]
    assert re.findall(r"timeout queue (\S+)", again) == ["1ms"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("listen stats", "frontend more"), "the frontends"),
        (("frontend http_frontend", "backend http_frontend"), "the frontends"),
        (("defaults\n    mode http", "backend unbounded"), "errors and its queue"),
        (("global\n", "global\n    stats socket 0.0.0.0:9999 mode 600\n"), "administration"),
        (("mode 666", "user ray"), "administration"),
        (("defaults\n", "defaults\n    stats uri /stats\n"), "statistics"),
        (("defaults\n", "peers others\n    bind :10000\ndefaults\n"), "would listen on"),
        (("defaults\n", "ring others\n    server far 192.0.2.7:1\ndefaults\n"), "no bound"),
    ],
)
def test_what_cannot_be_brought_under_the_rules_is_refused(change: tuple[str, str], reason: str) -> None:
    config = RENDERED.replace(*change)
    if "more" in change[1]:
        config = config.replace("stats enable", "").replace("stats uri /stats", "")
    with pytest.raises(RulesNotMet, match=reason):
        rewrite(config, RULES)


@pytest.mark.parametrize("listen", ["0.0.0.0:8000", "*:8000", ":8000", "192.0.2.7:8000", ":::8000"])
def test_the_local_profile_stays_on_loopback(listen: str) -> None:
    rules = RULES._replace(listen=listen)
    with pytest.raises(RulesNotMet, match="not loopback"):
        rewrite(RENDERED, rules)
    rewrite(RENDERED, rules._replace(loopback_only=False))


@pytest.mark.parametrize("listen", ["127.0.0.1:8000", "127.0.0.2:80", "::1:8000", "localhost:8000"])
def test_every_way_to_name_loopback_is_known(listen: str) -> None:
    rewrite(RENDERED, RULES._replace(listen=listen))


def test_what_was_written_otherwise_is_checked_too() -> None:
    with pytest.raises(RulesNotMet):
        check(rewrite(RENDERED, RULES).replace("maxconn 32", "maxconn 33"), RULES)
    with pytest.raises(RulesNotMet):
        check(rewrite(RENDERED, RULES).replace("maxconn 1000", "maxconn 32"), RULES)


def test_parsing_and_rendering_keep_every_statement() -> None:
    sections = parse(RENDERED)
    assert parse(render(sections)) == sections


def test_gateways_are_told_who_calls_whatever_the_caller_says() -> None:
    rule = "http-request set-header x-vectoray-client-address %[src]"
    assert section(rewrite(RENDERED, RULES), "frontend", "http_frontend").count(rule) == 1
