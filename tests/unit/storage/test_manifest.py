"""Manifests and the mapped counter: what is current, and how another process hears of it."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from storage import files
from storage.manifest import (
    GenerationCounter,
    Manifest,
    manifest_generations,
    manifest_path,
    publish_manifest,
    read_manifest,
)
from vectoray.core.errors import CorruptData

MANIFEST = Manifest(
    generation=7,
    sealed_seq=2**40,
    flushed_seq=12,
    segments=("00000003", "00000001"),
    dead={"00000001": "00000001-abc.u32"},
    next_segment=4,
)


def test_a_manifest_comes_back_as_it_was_published(tmp_path: Path) -> None:
    publish_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path, 7) == MANIFEST


def test_the_two_newest_are_kept_newest_first(tmp_path: Path) -> None:
    for generation in range(1, 12):
        publish_manifest(tmp_path, replace(MANIFEST, generation=generation, sealed_seq=generation))
    assert manifest_generations(tmp_path) == [11, 10]
    assert [read_manifest(tmp_path, generation).sealed_seq for generation in (11, 10)] == [11, 10]
    with pytest.raises(FileNotFoundError):
        read_manifest(tmp_path, 9)


def test_other_files_are_no_manifests(tmp_path: Path) -> None:
    for name in ("manifest-7.json", f"manifest-{7:020d}.json.bak", f".tmp-manifest-{7:020d}.json", "LOCK"):
        (tmp_path / name).write_bytes(b"")
    assert manifest_generations(tmp_path) == []


@pytest.mark.parametrize("function", ["open", "write", "fsync", "rename"])
def test_a_publication_that_fails_leaves_the_previous_one_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    publish_manifest(tmp_path, MANIFEST)

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, function, fail)
        with pytest.raises(OSError, match="No space"):
            publish_manifest(tmp_path, replace(MANIFEST, generation=8))
    assert [path.name for path in tmp_path.iterdir()] == [manifest_path(tmp_path, 7).name]
    publish_manifest(tmp_path, replace(MANIFEST, generation=8))
    assert manifest_generations(tmp_path) == [8, 7]


@pytest.mark.parametrize(
    "change",
    [
        {"sealed_seq": None},
        {"flushed_seq": "x"},
        {"segments": "00000001"},
        {"segments": [1]},
        {"dead": ["x"]},
        {"dead": {"00000001": 1}},
    ],
)
def test_a_manifest_whose_fields_have_other_types_is_damaged(
    tmp_path: Path, change: dict[str, object]
) -> None:
    whole: dict[str, object] = {
        "sealed_seq": 1,
        "flushed_seq": 1,
        "segments": [],
        "dead": {},
        "next_segment": 1,
    }
    files.write_json_durable(manifest_path(tmp_path, 1), {**whole, **change})
    with pytest.raises(CorruptData):
        read_manifest(tmp_path, 1)
    for name in whole:
        files.write_json_durable(
            manifest_path(tmp_path, 1), {key: value for key, value in whole.items() if key != name}
        )
        with pytest.raises(CorruptData):
            read_manifest(tmp_path, 1)


def test_two_mappings_of_the_counter_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "GENERATION"
    owner = GenerationCounter(path, writable=True)
    reader = GenerationCounter(path, writable=False)
    assert reader.read() == (0, 0)
    owner.publish_seq(2**64 - 1)
    assert reader.read() == (0, 2**64 - 1)
    owner.publish_generation(2**63)
    owner.publish_seq(5)
    assert reader.read() == (2**63, 5)
    owner.close()
    successor = GenerationCounter(path, writable=True)
    successor.publish_seq(6)
    assert reader.read() == (2**63, 6)
    successor.close()
    reader.close()


def test_the_counter_reaches_other_processes(tmp_path: Path) -> None:
    path = tmp_path / "GENERATION"
    owner = GenerationCounter(path, writable=True)
    program = (
        "import sys, pathlib; from storage.manifest import GenerationCounter\n"
        f"counter = GenerationCounter(pathlib.Path({str(path)!r}), writable=False)\n"
        "for _ in sys.stdin: print(*counter.read(), flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    for generation, seq in ((0, 0), (3, 1), (3, 2), (4, 1000)):
        owner.publish_generation(generation)
        owner.publish_seq(seq)
        child.stdin.write("look\n")
        child.stdin.flush()
        assert child.stdout.readline().split() == [str(generation), str(seq)]
    child.stdin.close()
    child.wait(10)
    child.stdout.close()
    owner.close()


def test_a_reader_cannot_change_the_counter(tmp_path: Path) -> None:
    GenerationCounter(tmp_path / "GENERATION", writable=True).close()
    reader = GenerationCounter(tmp_path / "GENERATION", writable=False)
    with pytest.raises(TypeError):
        reader.publish_seq(1)
    reader.close()


def test_a_reader_before_the_first_owner_finds_no_counter_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        GenerationCounter(tmp_path / "GENERATION", writable=False)
    assert list(tmp_path.iterdir()) == []
