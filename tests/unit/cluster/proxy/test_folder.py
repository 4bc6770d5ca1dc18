"""Where HAProxy lives on the disk."""

import json
import tempfile
from pathlib import Path

import pytest

from cluster.proxy.folder import proxy_folder
from cluster.proxy.rules import ProxyRules
from cluster.settings import ClusterSettings


def test_the_folder_is_the_owners_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    link = tmp_path / "proxy"
    with proxy_folder(link) as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert link.readlink() == folder.path
    assert not folder.path.exists()
    assert not link.is_symlink()


def test_a_socket_fits_into_the_folder_however_deep_the_temporary_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with proxy_folder(tmp_path / "proxy") as folder:
        socket = f"{folder.variables()['RAY_SERVE_HAPROXY_SOCKET_PATH']}/{56 * '0'}"
        assert len(socket) <= 97
    assert list(deep.iterdir()) == []


def test_what_a_server_that_crashed_left_is_removed_by_the_next(tmp_path: Path) -> None:
    link = tmp_path / "proxy"
    left = Path(tempfile.mkdtemp(prefix="vectoray-"))
    link.symlink_to(left)
    with proxy_folder(link) as folder:
        assert not left.exists()
        assert folder.path != left


def test_a_link_to_something_else_is_only_unlinked(tmp_path: Path) -> None:
    link, other = tmp_path / "proxy", tmp_path / "other"
    other.mkdir()
    link.symlink_to(other)
    with proxy_folder(link):
        pass
    assert other.exists()


def test_error_pages_are_answers_that_every_family_reads(tmp_path: Path) -> None:
    with proxy_folder(tmp_path / "proxy") as folder:
        folder.impose("127.0.0.1:8000", ClusterSettings(), request_timeout_s=30, loopback_only=True)
        rules = ProxyRules.read(folder.path / "rules.json")
        for status, page in rules.error_pages.items():
            head, _, body = Path(page).read_bytes().partition(b"\r\n\r\n")
            answer = json.loads(body)
            assert answer["error"] == answer["detail"] == answer["message"]
            assert f"Content-Length: {len(body)}".encode() in head
            assert (b"Retry-After: 1" in head) == (int(status) >= 500)
            assert head.startswith(b"HTTP/1.1 503" if int(status) >= 500 else f"HTTP/1.1 {status}".encode())


def test_bounds_follow_the_settings(tmp_path: Path) -> None:
    settings = ClusterSettings(gateway_concurrency=3, gateway_queue_length=7, gateway_queue_timeout_s=0.25)
    with proxy_folder(tmp_path / "proxy") as folder:
        folder.impose("::1:8000", settings, request_timeout_s=2, loopback_only=False)
        rules = ProxyRules.read(folder.path / "rules.json")
    assert rules._replace(error_pages={}) == ProxyRules(
        listen="::1:8000",
        loopback_only=False,
        max_in_flight=3,
        max_streams=1024,
        max_queued=7,
        queue_timeout_ms=250,
        silence_timeout_ms=12_000,
        error_pages={},
    )
