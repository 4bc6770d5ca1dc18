"""Where uploaded files lie, as the settings say."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from serve.config import Settings
from serve.upload_place import open_upload_place
from storage.settings import StorageSettings
from vectoray.core.errors import InvalidRequest


def test_files_lie_in_the_data_folder_unless_another_place_is_named(tmp_path: Path) -> None:
    open_upload_place(Settings(data_dir=tmp_path))
    assert (tmp_path / "uploads").is_dir()


def test_a_place_that_is_no_bucket_is_refused_without_being_shown(tmp_path: Path) -> None:
    storage = StorageSettings(blobs_url=SecretStr("ftp://ann:hunter2@example.com"))
    with pytest.raises(InvalidRequest) as refused:
        open_upload_place(Settings(data_dir=tmp_path, storage=storage))
    assert "hunter2" not in refused.value.message
    assert "hunter2" not in repr(storage)
