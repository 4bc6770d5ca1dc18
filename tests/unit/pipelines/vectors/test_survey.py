"""What is refused over all sources is known before anything is written, and says where it is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.vectors.columns import Columns, Target
from pipelines.vectors.files import RawRows
from pipelines.vectors.parts import (
    Layout,
    Part,
    content_name,
    decode_points,
    encode_points,
    job_of_files,
    parts_of,
)
from pipelines.vectors.settings import LoadSettings
from pipelines.vectors.survey import PartSummary, Survey, without
from vectoray.core.errors import InvalidRequest
from vectoray.core.model import Metric, PointBatch

LAYOUT = Layout(Columns(), Target(2, Metric.DOT), 4)


def parts(ids: Sequence[str | None], number: int) -> list[Part]:
    """Parts of a source, whose vectors are the numbers of its rows."""
    vectors = [[float(row), 1.0] for row in range(len(ids))]
    table = pa.table({"id": pa.array(ids, pa.string()), "vector": vectors})
    raw = (RawRows(first, table.slice(first, LAYOUT.rows)) for first in range(0, len(ids), LAYOUT.rows))
    return list(parts_of(raw, number, LAYOUT))


def survey_of(sources: Sequence[Sequence[Part]], *, backwards: bool = False) -> Survey:
    survey = Survey([f"file-{number}" for number in range(len(sources))])
    found = [(part, number) for number, source in enumerate(sources) for part in source]
    for part, number in reversed(found) if backwards else found:
        survey.add(PartSummary.of(part, number))
    survey.finish()
    return survey


@pytest.mark.parametrize("backwards", [False, True])
def test_of_an_id_in_several_places_the_first_stays_whatever_was_read_first(*, backwards: bool) -> None:
    sources = [parts(["a", "b", "c", "d", "e", "a"], 0), parts(["x", "b", "x", None, "a", "x"], 1)]
    survey = survey_of(sources, backwards=backwards)
    assert [str(row) for row in survey.refused] == [
        "row 6 of file-0: Its id is that of row 1 of file-0.",
        "row 2 of file-1: Its id is that of row 2 of file-0.",
        "row 3 of file-1: Its id is that of row 1 of file-1.",
        "row 4 of file-1: It has no id.",
        "row 5 of file-1: Its id is that of row 1 of file-0.",
        "row 6 of file-1: Its id is that of row 1 of file-1.",
    ]
    left = {part.name: list(without(part, survey.dropped).ids) for source in sources for part in source}
    assert left == {"0-0": ["a", "b", "c", "d"], "0-4": ["e"], "1-0": ["x"], "1-4": []}
    assert survey.points_in() == 6
    assert survey.points_in(frozenset({"0-4", "1-0", "gone"})) == 2
    with pytest.raises(InvalidRequest) as caught:
        survey.require_none_refused()
    assert caught.value.message == (
        "6 rows are refused, and nothing was written: row 6 of file-0: Its id is that of row 1 of file-0; "
        "row 2 of file-1: Its id is that of row 2 of file-0; row 3 of file-1: Its id is that of row 1 of "
        "file-1; and 3 more."
    )
    assert caught.value.details["refused_rows"] == 6


def test_nothing_is_refused_where_all_is_well() -> None:
    examples: list[list[list[Part]]] = [[], [[]], [parts(["a", "b"], 0), parts(["c"], 1)]]
    for sources in examples:
        survey = survey_of(sources)
        survey.require_none_refused()
        assert (survey.refused_rows, survey.refused, dict(survey.dropped)) == (0, [], {})


def test_many_repetitions_are_all_found() -> None:
    random = np.random.default_rng(0)
    ids = [str(number) for number in random.integers(0, 300, 1000)]
    survey = survey_of([parts(ids[:500], 0), parts(ids[500:], 1)])
    assert survey.refused_rows == 1000 - len(set(ids))
    kept = [
        point_id
        for source in (parts(ids[:500], 0), parts(ids[500:], 1))
        for part in source
        for point_id in without(part, survey.dropped).ids
    ]
    assert sorted(kept) == sorted(set(ids))


def test_points_travel_unchanged() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    for sources in (None, ["s", None, "t"]):
        batch = PointBatch(["a", "é", "c"], vectors, [b"{}", b'{"a":1}', b"{}"], ["x", None, ""], sources)
        again = decode_points(encode_points(batch))
        assert np.array_equal(again.vectors, vectors)
        assert (again.ids, again.payloads) == (batch.ids, batch.payloads)
        assert (again.texts, again.sources) == (batch.texts, batch.sources)
    assert content_name(encode_points(batch)) == content_name(encode_points(again))
    assert content_name(encode_points(batch)) != content_name(encode_points(batch.take([0, 1])))


def test_the_same_files_are_the_same_job_until_one_of_them_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"1")
    job = job_of_files([path], LAYOUT, skip_refused=False)
    assert job == job_of_files([path], LAYOUT, skip_refused=False)
    assert job != job_of_files([path], LAYOUT, skip_refused=True)
    assert job != job_of_files([path], Layout(Columns(id="key"), LAYOUT.target, 4), skip_refused=False)
    path.write_bytes(b"12")
    assert job != job_of_files([path], LAYOUT, skip_refused=False)


def test_parts_make_segments_worth_a_graph_and_fit_into_memory() -> None:
    settings = LoadSettings(segment_rows=1000, max_part_bytes=2**20)
    assert settings.part_rows(dimension=4, shards=3) == 3000
    assert settings.part_rows(dimension=1024, shards=3) == 256
    assert settings.part_rows(dimension=2**20, shards=1) == 1
