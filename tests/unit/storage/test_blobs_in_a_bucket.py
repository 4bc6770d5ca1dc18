"""Uploaded files in a bucket, on a server of this machine that speaks S3, where it is installed."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from storage.blobs import Blobs
from tests.unit.storage.snapshot.test_bucket import Address, at, port, pytestmark
from vectoray.core.errors import InternalError

__all__ = ["at", "port", "pytestmark"]


@pytest.fixture
def blobs(at: Address) -> Blobs:
    return Blobs.open(at("backups/uploads"))


def test_a_blob_is_whole_or_not_there(blobs: Blobs) -> None:
    name = str(uuid4())
    draft = blobs.draft(name)
    draft.write(b"a" * 100_000)
    with pytest.raises(FileNotFoundError):
        next(blobs.read(name))
    draft.finish()
    assert b"".join(blobs.read(name)) == b"a" * 100_000
    assert name in blobs.older_than(datetime.now(UTC) + timedelta(minutes=1))
    assert blobs.older_than(datetime.now(UTC) - timedelta(minutes=1)) == []
    blobs.delete(name)
    with pytest.raises(FileNotFoundError):
        next(blobs.read(name))


def test_nothing_is_left_of_a_draft_that_is_discarded(blobs: Blobs) -> None:
    draft = blobs.draft(str(uuid4()))
    draft.write(b"half")
    draft.discard()
    assert blobs.older_than(datetime.now(UTC) + timedelta(minutes=1)) == []


def test_a_bucket_that_is_not_there_is_told_without_its_credentials(at: Address) -> None:
    draft = Blobs.open(at("elsewhere/uploads")).draft(str(uuid4()))
    draft.write(b"a")
    with pytest.raises(InternalError) as refused:
        draft.finish()
    assert "hunter2" not in refused.value.message
    assert "someone" not in refused.value.message
