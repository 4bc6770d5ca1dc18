"""Uploaded files in a folder: whole or not there, private, and named by us alone."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import pytest

from storage.blobs import Blobs
from vectoray.core.errors import InternalError, InvalidRequest, StorageFull, Unavailable

DATA = os.urandom(3_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "uploads"


@pytest.fixture
def blobs(folder: Path) -> Blobs:
    return Blobs.open(folder)


def stored(blobs: Blobs, data: bytes = DATA) -> str:
    name = str(uuid4())
    draft = blobs.draft(name)
    draft.write(data)
    draft.finish()
    return name


def test_a_blob_reads_back_with_its_size_and_digest(blobs: Blobs) -> None:
    name = str(uuid4())
    draft = blobs.draft(name)
    for start in range(0, len(DATA), 100_000):
        draft.write(DATA[start : start + 100_000])
    draft.finish()
    assert (draft.size_bytes, draft.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    blocks = list(blobs.read(name))
    assert b"".join(blocks) == DATA
    assert len(blocks) > 1


def test_only_their_owner_may_read_files_and_folder(blobs: Blobs, folder: Path) -> None:
    draft = blobs.draft(str(uuid4()))
    [path] = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    draft.finish()
    [path] = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_blob_is_not_there_before_it_is_whole(blobs: Blobs) -> None:
    name = str(uuid4())
    draft = blobs.draft(name)
    draft.write(DATA)
    with pytest.raises(FileNotFoundError):
        next(blobs.read(name))
    draft.finish()
    assert b"".join(blobs.read(name)) == DATA


def test_nothing_is_left_of_a_draft_that_is_discarded(blobs: Blobs, folder: Path) -> None:
    draft = blobs.draft(str(uuid4()))
    draft.write(DATA)
    draft.discard()
    draft.write(DATA)
    draft.discard()
    assert list(folder.iterdir()) == []


def test_nothing_is_left_when_the_disk_fails_at_the_end(blobs: Blobs, folder: Path) -> None:
    draft = blobs.draft(str(uuid4()))
    draft.write(DATA)
    with (
        patch("storage.blobs.fsync_file", side_effect=OSError(5, "Input/output error")),
        pytest.raises(InternalError),
    ):
        draft.finish()
    assert list(folder.iterdir()) == []


def test_a_full_disk_is_told_without_a_path(blobs: Blobs, folder: Path) -> None:
    draft = blobs.draft(str(uuid4()))
    with (
        patch("storage.blobs.fsync_file", side_effect=OSError(28, "No space left on device", "/secret")),
        pytest.raises(StorageFull) as refused,
    ):
        draft.finish()
    assert "/" not in refused.value.message
    assert list(folder.iterdir()) == []


def test_a_blob_is_deleted_once_or_more(blobs: Blobs, folder: Path) -> None:
    name = stored(blobs)
    blobs.delete(name)
    blobs.delete(name)
    assert list(folder.iterdir()) == []


def test_old_blobs_and_drafts_are_listed_and_other_files_are_not(blobs: Blobs, folder: Path) -> None:
    name, interrupted = stored(blobs), str(uuid4())
    blobs.draft(interrupted).write(b"half")
    (folder / "notes.txt").write_text("not ours")
    now = datetime.now(UTC)
    assert blobs.older_than(now - timedelta(minutes=1)) == []
    assert blobs.older_than(now + timedelta(minutes=1)) == sorted((name, interrupted))
    blobs.delete(interrupted)
    assert sorted(path.name for path in folder.iterdir()) == sorted((name, "notes.txt"))


@pytest.mark.parametrize("name", ["../secret", "a/b", "", "3F2B8C1E-5D47-4A7E-9C55-0D6F1A2B3C4D"])
def test_only_uuids_are_names(blobs: Blobs, name: str) -> None:
    for use in (blobs.draft, blobs.delete, lambda told: next(blobs.read(told))):
        with pytest.raises(ValueError, match="UUIDs"):
            use(name)


@pytest.mark.parametrize("uri", ["ftp://user:hunter2@host/place", "s3://", "/some/folder", "s3://b?region=%"])
def test_a_uri_that_cannot_be_used_is_refused_without_being_shown(uri: str) -> None:
    with pytest.raises((InvalidRequest, Unavailable)) as refused:
        Blobs.open(uri)
    assert "hunter2" not in refused.value.message
