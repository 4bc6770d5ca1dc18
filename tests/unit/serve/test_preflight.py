"""What a server checks of its signing key before it starts."""

from pathlib import Path

import pytest

from serve.credentials.signing_key import signing_key, signing_key_path
from serve.preflight import check_signing_key
from vectoray.core.errors import InvalidRequest


def test_a_signing_key_is_made_where_there_is_none_and_stays(tmp_path: Path) -> None:
    check_signing_key(tmp_path)
    made = signing_key_path(tmp_path).read_bytes()
    check_signing_key(tmp_path)
    assert signing_key(signing_key_path(tmp_path)) == made


@pytest.mark.parametrize("left", [0, 40, 63])
def test_a_signing_key_that_is_cut_short_is_refused_and_left_as_it_is(tmp_path: Path, left: int) -> None:
    check_signing_key(tmp_path)
    path = signing_key_path(tmp_path)
    made = path.read_text()
    path.write_text(made[:left])
    with pytest.raises(InvalidRequest, match="is damaged") as refusal:
        check_signing_key(tmp_path)
    assert made[:16] not in refusal.value.message
    assert path.stat().st_size == left


def test_a_signing_key_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = signing_key_path(tmp_path)
    path.parent.mkdir()
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(InvalidRequest, match="cannot be made or read: No such file"):
        check_signing_key(tmp_path)
    assert not (tmp_path / "gone").exists()
