"""Converted models on disk: whole or not at all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vectoray.embedding.model_cache import cached_model


class Converter:
    """Writes a model of two small files, and counts how often."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, target: Path) -> None:
        self.runs += 1
        target.write_text("<net/>")
        target.with_suffix(".bin").write_bytes(b"weights")


def load(cache_dir: Path, convert: Callable[[Path], None], *depends_on: str) -> Path:
    return cached_model(cache_dir, name="model", depends_on=depends_on, convert=convert)


def test_a_model_is_converted_once(tmp_path: Path) -> None:
    convert = Converter()
    first = load(tmp_path / "new", convert)
    assert load(tmp_path / "new", convert) == first
    assert convert.runs == 1
    assert first.read_text() == "<net/>"


def test_another_version_gets_a_conversion_of_its_own(tmp_path: Path) -> None:
    convert = Converter()
    assert load(tmp_path, convert, "torch==1") != load(tmp_path, convert, "torch==2")
    assert convert.runs == 2


def _delete(path: Path) -> None:
    path.unlink()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_delete, _truncate, _flip_a_bit])
@pytest.mark.parametrize("part", ["model.xml", "model.bin", "sha256"])
def test_a_damaged_copy_is_rebuilt(tmp_path: Path, part: str, damage: Callable[[Path], None]) -> None:
    convert = Converter()
    model = load(tmp_path, convert)
    damage(model.parent / part)
    assert load(tmp_path, convert) == model
    assert convert.runs == 2
    assert (model.parent / "model.bin").read_bytes() == b"weights"
    assert [path.name for path in tmp_path.iterdir()] == [model.parent.name]


def test_a_failed_conversion_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        target.write_text("half")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        load(tmp_path, fail)
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_simultaneous_conversions_is_kept(tmp_path: Path) -> None:
    def overtaken(target: Path) -> None:
        load(tmp_path, Converter())
        target.write_text("<late/>")
        target.with_suffix(".bin").write_bytes(b"late")

    assert load(tmp_path, overtaken).read_text() == "<net/>"
    assert len(list(tmp_path.iterdir())) == 1
