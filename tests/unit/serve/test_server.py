"""What keeps a server from starting; and reading the settings again: it goes on, whatever comes of it."""

import errno
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from cluster.server_file import ServerFile
from serve.config import Settings
from serve.credentials.signing_key import signing_key_path
from serve.reload import ReloadOutcomes
from serve.signals import Wishes
from vectoray.core.errors import InvalidRequest, Unavailable, VectorayError

with warnings.catch_warnings():
    # Ray's own use of pydantic is not ours to mend.
    warnings.simplefilter("ignore")
    from cluster import runtime
    from serve.server import _Server, run


class Folder:
    """Keeps what was imposed on the proxy; refuses when told to."""

    def __init__(self) -> None:
        self.imposed: list[float] = []
        self.failures: list[OSError] = []

    def impose(
        self, _listen: str, _cluster: object, *, request_timeout_s: float, loopback_only: bool
    ) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.imposed.append(request_timeout_s)


def settings_with(timeout_s: float, data_dir: Path) -> Settings:
    settings = Settings()
    serve = settings.serve.model_copy(update={"request_timeout_s": timeout_s})
    return settings.model_copy(update={"serve": serve, "data_dir": data_dir})


@pytest.fixture
def folder() -> Folder:
    return Folder()


@pytest.fixture
def server(tmp_path: Path, folder: Folder) -> _Server:
    return _Server(settings_with(7, tmp_path), folder, tmp_path / "token", {})  # type: ignore[arg-type]


def test_a_damaged_signing_key_keeps_a_server_from_starting(tmp_path: Path) -> None:
    path = signing_key_path(tmp_path)
    path.parent.mkdir()
    path.touch()
    with (
        patch("serve.server.check_port", side_effect=AssertionError("went on")),
        pytest.raises(InvalidRequest, match="is damaged"),
    ):
        run(lambda: settings_with(7, tmp_path), Wishes())


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    "error", [Unavailable("It did not start."), TimeoutError("secret"), OSError(errno.ENOSPC, "secret")]
)
def test_gateways_that_do_not_start_leave_the_settings_and_the_rules_as_they_were(
    server: _Server, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    told = "The gateways were not replaced; the server's log says why."
    if isinstance(error, VectorayError):
        told = error.message
    before = server._settings
    monkeypatch.setattr(runtime, "deploy_gateway", raising(error))
    assert server._reload(lambda: settings_with(9, tmp_path)) == told
    assert server._settings == before
    assert folder.imposed == [9, 7]


@pytest.mark.parametrize("error", [InvalidRequest("wrong"), PermissionError("secret")])
def test_settings_that_cannot_be_read_leave_everything_as_it_was(server: _Server, error: Exception) -> None:
    before = server._settings
    problem = server._reload(raising(error))  # type: ignore[arg-type]
    assert problem is not None
    assert "secret" not in problem
    assert isinstance(error, VectorayError) == (problem == "wrong")
    assert server._settings == before


def test_a_full_disk_ends_no_server(
    server: _Server, folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server._settings
    folder.failures = [OSError(errno.ENOSPC, "full")] * 2
    problem = server._reload(lambda: settings_with(9, tmp_path))
    assert problem is not None
    assert server._settings == before
    monkeypatch.setattr(ServerFile, "write", raising(OSError(errno.ENOSPC, "full")))
    monkeypatch.setattr(ReloadOutcomes, "tell", raising(OSError(errno.ENOSPC, "full")))
    addresses = runtime.RayAddresses(gcs="127.0.0.1:1", dashboard_url=None, session_dir="")
    server._tell(problem, server._server_file(addresses))
