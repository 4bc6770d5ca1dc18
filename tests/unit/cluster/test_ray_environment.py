"""The secret of Ray's ports."""

import os
from pathlib import Path
from typing import Any

import pytest

from cluster import ray_environment


def test_the_secret_is_the_owners_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "ray.token"
    ray_environment.make_token(path)
    secret = path.read_text()
    assert len(secret) == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    ray_environment.make_token(path)
    assert path.read_text() == secret


def test_a_process_that_ends_while_it_makes_the_secret_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ray.token"

    def end(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", end)
        with pytest.raises(KeyboardInterrupt):
            ray_environment.make_token(path)
    assert not path.exists()
    ray_environment.make_token(path)
    assert len(path.read_text()) == 64
