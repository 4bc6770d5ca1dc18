"""The signing key in a file: made once, whoever comes first, and only for its owner to read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from unittest.mock import patch

from serve.credentials.signing_key import signing_key


def test_it_is_made_once_and_read_then(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "tokens.key"
    made = signing_key(path)
    assert len(bytes.fromhex(made.decode())) == 32
    assert signing_key(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert signing_key(tmp_path / "other") != made


def test_all_that_make_it_at_once_get_the_same(tmp_path: Path) -> None:
    barrier = Barrier(4)
    path = tmp_path / "tokens.key"

    def absent(_path: Path) -> bool:
        barrier.wait(60)
        return False

    with patch.object(Path, "exists", absent), ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(signing_key, [path] * 4))) == 1
    assert list(tmp_path.iterdir()) == [path]
