"""The ingestion section of the settings."""

import pytest
from pydantic import ValidationError

from pipelines.chunk_settings import ChunkingSettings
from pipelines.settings import PipelineSettings


def test_every_field_is_described() -> None:
    sections = (PipelineSettings, ChunkingSettings)
    assert all(field.description for section in sections for field in section.model_fields.values())


def test_overlap_must_be_smaller_than_a_chunk() -> None:
    with pytest.raises(ValidationError, match="overlap_chars must be smaller"):
        ChunkingSettings(size_chars=100, overlap_chars=100)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="chunk_size"):
        PipelineSettings.model_validate({"chunk_size": 3})
