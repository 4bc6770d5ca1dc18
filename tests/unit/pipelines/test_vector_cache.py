"""Vectors on the disk: found again, bounded, and never wrong, whatever happens to the files."""

import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from pipelines.vector_cache import VectorCache
from vectoray.core.model import FloatMatrix

DIMENSION = 384
MAX_BYTES = 8 * 2**20


def keys_of(*numbers: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in numbers]


def vectors_of(*numbers: int) -> FloatMatrix:
    return np.stack([np.full(DIMENSION, number, dtype=np.float32) for number in numbers])


@pytest.fixture
def caches() -> Iterator[list[VectorCache]]:
    opened: list[VectorCache] = []
    yield opened
    for cache in opened:
        cache.close()


@pytest.fixture
def reopen(tmp_path: Path, caches: list[VectorCache]) -> Callable[[], VectorCache]:
    """Opens the one folder of the test once more."""

    def opened() -> VectorCache:
        caches.append(VectorCache(tmp_path / "vectors", max_bytes=MAX_BYTES))
        return caches[-1]

    return opened


@pytest.fixture
def cache(reopen: Callable[[], VectorCache]) -> VectorCache:
    return reopen()


def database(tmp_path: Path) -> Path:
    [path] = tmp_path.rglob("vectors.db")
    return path


def numbers_found(cache: VectorCache, *numbers: int) -> list[int]:
    """Which of the numbers are found; their vectors must be theirs."""
    found = cache.get(keys_of(*numbers))
    for number, key in zip(numbers, keys_of(*numbers), strict=True):
        if key in found:
            np.testing.assert_array_equal(found[key], vectors_of(number)[0])
    return [number for number, key in zip(numbers, keys_of(*numbers), strict=True) if key in found]


def test_what_was_put_is_found_by_others_and_later(
    cache: VectorCache, reopen: Callable[[], VectorCache]
) -> None:
    cache.put(keys_of(1, 2), vectors_of(1, 2))
    assert numbers_found(reopen(), 1, 2, 3) == [1, 2]
    cache.close()
    assert numbers_found(reopen(), 1, 2, 3) == [1, 2]


def test_more_keys_than_one_question_may_have_are_found(cache: VectorCache) -> None:
    numbers = range(1200)
    cache.put(keys_of(*numbers), vectors_of(*numbers))
    assert numbers_found(cache, *numbers) == list(numbers)


def test_what_was_not_used_goes_first_and_the_file_stays_small(cache: VectorCache, tmp_path: Path) -> None:
    for start in range(0, 20_000, 500):
        numbers = range(start, start + 500)
        cache.put(keys_of(*numbers), vectors_of(*numbers))
        assert numbers_found(cache, 3) == [3]
        assert database(tmp_path).stat().st_size <= MAX_BYTES
    assert numbers_found(cache, *range(20_000))[0] == 3
    assert len(numbers_found(cache, *range(18_000, 20_000))) == 2000
    assert len(numbers_found(cache, *range(5_000))) == 1
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= MAX_BYTES + 2**24


def test_a_batch_larger_than_the_cache_is_kept_in_part(cache: VectorCache, tmp_path: Path) -> None:
    numbers = range(10_000)
    for _ in range(3):
        cache.put(keys_of(*numbers), vectors_of(*numbers))
    assert 500 < len(numbers_found(cache, *numbers)) < 6000
    assert database(tmp_path).stat().st_size <= MAX_BYTES


def test_a_vector_with_a_flipped_bit_is_not_found(cache: VectorCache, tmp_path: Path) -> None:
    numbers = range(1, 100)
    cache.put(keys_of(*numbers), vectors_of(*numbers))
    cache.close()
    path = database(tmp_path)
    content = path.read_bytes()
    seventh = vectors_of(7)[0].tobytes()
    assert content.count(seventh) == 1
    path.write_bytes(content.replace(seventh, seventh[:-1] + bytes([seventh[-1] ^ 1])))
    assert numbers_found(cache, *numbers) == [number for number in numbers if number != 7]


def test_a_vector_under_the_key_of_another_is_not_found(cache: VectorCache, tmp_path: Path) -> None:
    cache.put(keys_of(1, 2), vectors_of(1, 2))
    with sqlite3.connect(database(tmp_path)) as connection:
        [(value,)] = connection.execute("SELECT value FROM vectors WHERE key = ?", keys_of(1))
        connection.execute("UPDATE vectors SET value = ? WHERE key = ?", (value, *keys_of(2)))
    connection.close()
    assert numbers_found(cache, 1, 2) == [1]


def _truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _overwrite(path: Path) -> None:
    path.write_bytes(b"no database" * 10_000)


def _scramble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for position in range(100, len(content), 997):
        content[position] ^= 0x5A
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncate, _overwrite, _scramble])
@pytest.mark.parametrize("opened", [True, False], ids=["while open", "while closed"])
def test_a_damaged_file_loses_vectors_and_is_replaced(
    cache: VectorCache, tmp_path: Path, damage: Callable[[Path], None], *, opened: bool
) -> None:
    numbers = range(1, 1000)
    cache.put(keys_of(*numbers), vectors_of(*numbers))
    cache.close()
    if opened:
        cache.get(keys_of(1))
    damage(database(tmp_path))
    assert len(numbers_found(cache, *numbers)) < len(numbers)
    cache.put(keys_of(*numbers), vectors_of(*numbers))
    cache.put(keys_of(*numbers), vectors_of(*numbers))
    assert numbers_found(cache, *numbers) == list(numbers)


def test_deleting_the_folder_costs_no_more_than_its_content(
    cache: VectorCache, reopen: Callable[[], VectorCache], tmp_path: Path
) -> None:
    cache.put(keys_of(1), vectors_of(1))
    shutil.rmtree(tmp_path / "vectors")
    other = reopen()
    assert numbers_found(other, 1) == []
    other.put(keys_of(2), vectors_of(2))
    cache.put(keys_of(3), vectors_of(3))
    cache.close()
    assert numbers_found(other, 2) in ([2], [])
    assert numbers_found(reopen(), 1) == []


def test_a_folder_that_cannot_be_made_means_no_cache(tmp_path: Path, caches: list[VectorCache]) -> None:
    (tmp_path / "file").write_text("")
    caches.append(VectorCache(tmp_path / "file" / "vectors", max_bytes=MAX_BYTES))
    caches[0].put(keys_of(1), vectors_of(1))
    assert caches[0].get(keys_of(1)) == {}


_WRITER = """
import itertools, sys
from pathlib import Path
from pipelines.vector_cache import VectorCache
from tests.unit.pipelines.test_vector_cache import keys_of, vectors_of
cache = VectorCache(Path(sys.argv[1]), max_bytes=2**30)
for start in itertools.count(int(sys.argv[2]), 20):
    numbers = range(start, start + 20)
    cache.put(keys_of(*numbers), vectors_of(*numbers))
    print(start, flush=True)
"""


@pytest.mark.slow
def test_processes_that_are_killed_while_they_write_leave_a_sound_file(
    cache: VectorCache, tmp_path: Path
) -> None:
    for round_ in range(3):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITER, str(tmp_path / "vectors"), str(first)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for first in (0, 100_000)
        ]
        written = []
        for writer in writers:
            assert writer.stdout is not None
            starts = [int(writer.stdout.readline()) for _ in range(10 + 7 * round_)]
            written += [number for start in starts for number in range(start, start + 20)]
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
        assert numbers_found(cache, *written) == written
    with sqlite3.connect(database(tmp_path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
