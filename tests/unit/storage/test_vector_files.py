"""The file of a segment's vectors, mapped by many threads at once."""

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from storage.segment_files import map_vectors

VECTORS = np.arange(60, dtype=np.float32).reshape(20, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    np.save(tmp_path / "vectors.npy", VECTORS)
    return tmp_path / "vectors.npy"


def test_vectors_are_mapped_as_numpy_wrote_them(path: Path) -> None:
    mapped = map_vectors(path)
    assert type(mapped) is np.ndarray
    assert mapped.dtype == np.float32
    assert np.array_equal(mapped, VECTORS)


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01", b"x" * 400])
def test_a_file_of_another_form_is_refused(path: Path, damage: bytes) -> None:
    path.write_bytes(damage)
    with pytest.raises(ValueError, match="NumPy"):
        map_vectors(path)


def test_a_file_that_was_cut_short_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="size"):
        map_vectors(path)


class Cycle:
    """Garbage that only the collector finds: unmapping it lets other threads run."""

    def __init__(self, path: Path) -> None:
        self.me = self
        self.vectors = map_vectors(path)


@pytest.mark.slow
def test_threads_that_map_vectors_while_others_are_unmapped_do_not_disturb_each_other(path: Path) -> None:
    thresholds = gc.get_threshold()
    gc.set_threshold(50)

    def map_often(depth: int) -> None:
        if depth:
            map_often(depth - 1)
            return
        for _ in range(3000):
            Cycle(path)

    try:
        with ThreadPoolExecutor(3) as threads:
            list(threads.map(map_often, [0, 60, 20]))
    finally:
        gc.set_threshold(*thresholds)
