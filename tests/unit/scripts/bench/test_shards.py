"""Shards made for the rows: settled ones, and copies that share their files."""

from pathlib import Path

import numpy as np
import pytest

from scripts.bench.corpus import Corpus, point_id
from scripts.bench.searching import recall_of, search_all
from scripts.bench.shards import anatomy, copy_shard, load, open_shard, settled_shard, unsealed_rows
from scripts.bench.text_like import unit
from storage.shard import read_spec

ROWS, DIMENSION = 1200, 16


@pytest.fixture
def corpus() -> Corpus:
    random = np.random.default_rng(0)
    return Corpus(
        vectors=unit(random.standard_normal((ROWS, DIMENSION), dtype=np.float32)),
        queries=unit(random.standard_normal((20, DIMENSION), dtype=np.float32)),
        sources=np.zeros(ROWS, dtype=np.int32),
        shares=random.random(ROWS),
        texts=["a chunk of text"],
        files=["library/os.html"],
    )


@pytest.fixture
def settled(tmp_path: Path, corpus: Corpus) -> Path:
    settled_shard(tmp_path / "shard", corpus, ROWS)
    return tmp_path / "shard"


def test_a_settled_shard_has_every_point_in_a_segment(settled: Path, corpus: Corpus) -> None:
    assert unsealed_rows(settled) == 0
    assert len(anatomy(settled).graph_numbers) == 1
    with open_shard(settled, DIMENSION) as writer:
        assert writer.stats().points == ROWS
        found = search_all(writer, corpus.queries, warm_up=0, for_s=0.0)
    assert len(found.answers) == len(corpus.queries)
    assert recall_of(found, corpus, ROWS) > 0.95


def test_a_copy_differs_in_what_it_was_told_and_leaves_the_original_as_it_is(
    settled: Path, corpus: Corpus, tmp_path: Path
) -> None:
    copy = copy_shard(settled, tmp_path / "copy", ef_search=7)
    assert read_spec(copy).index.ef_search == 7
    assert read_spec(settled).index.ef_search != 7
    with open_shard(copy, DIMENSION) as writer:
        assert writer.stats().points == ROWS
        writer.delete([point_id(0)]).result()
        load(writer, corpus, 3)
        writer.delete([point_id(1)]).result()
    with open_shard(settled, DIMENSION) as writer:
        assert writer.stats().points == ROWS
        assert writer.get(point_id(1)) is not None


def test_a_payload_carries_what_the_filters_ask_for(corpus: Corpus) -> None:
    batch = corpus.batch(5, 7)
    assert batch.ids == [point_id(5), point_id(6)]
    assert b'"folder":"library"' in batch.payloads[0]
    assert f'"share":{corpus.shares[5]}'.encode() in batch.payloads[0]
