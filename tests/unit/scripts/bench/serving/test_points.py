"""What is loaded, and how answers are judged."""

import json

import numpy as np
import pytest

from scripts.bench.corpus import Corpus, point_id
from scripts.bench.recall import cosines
from scripts.bench.serving.peers.chroma import add_body
from scripts.bench.serving.points import GROUPS, TOP_K, Points, insert_body

_STORED = 300


@pytest.fixture
def points() -> Points:
    random = np.random.default_rng(3)
    vectors = random.standard_normal((_STORED + 20, 8), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = random.standard_normal((40, 8), dtype=np.float32)
    corpus = Corpus(
        vectors,
        queries,
        np.arange(len(vectors), dtype=np.int32),
        random.random(len(vectors)),
        [f"text {number}" for number in range(len(vectors))],
        ["a/b.html"] * len(vectors),
    )
    return Points(corpus, _STORED)


def _best(points: Points, *, of_group: bool) -> list[list[int]]:
    answers = []
    for number, query in enumerate(points.queries):
        rows = np.arange(number % GROUPS, _STORED, GROUPS) if of_group else np.arange(_STORED)
        order = np.argsort(-cosines(query, points.vectors[rows]))
        answers.append(rows[order[:TOP_K]].tolist())
    return answers


def test_exact_answers_have_a_recall_of_one(points: Points) -> None:
    assert points.recall(_best(points, of_group=False)) == 1
    assert points.recall_in_groups(_best(points, of_group=True)) == 1


def test_what_was_not_found_lowers_the_recall(points: Points) -> None:
    answers = _best(points, of_group=False)
    answers[7] = answers[7][:5]
    assert points.recall(answers) == pytest.approx(1 - 5 / (40 * TOP_K))
    answers = _best(points, of_group=True)
    answers[7] = []
    assert points.recall_in_groups(answers) == pytest.approx(1 - 1 / 40)


def test_hits_of_another_group_do_not_count(points: Points) -> None:
    assert points.recall_in_groups(_best(points, of_group=False)) < 0.5


def test_a_hit_with_another_payload_is_a_wrong_answer(points: Points) -> None:
    good = [(point_id(row), points.payload(row)) for row in (3, 5)]
    assert points.rows_of(good) == [3, 5]
    with pytest.raises(ValueError, match="doc-000000005"):
        points.rows_of([good[0], (point_id(5), points.payload(6))])


def test_every_system_gets_the_same_points(points: Points) -> None:
    ours = json.loads(insert_body(points, range(2, 4)))["vectors"]
    theirs = json.loads(add_body(points, range(2, 4)))
    assert [point["id"] for point in ours] == theirs["ids"] == [point_id(2), point_id(3)]
    assert [point["vector"] for point in ours] == theirs["embeddings"]
    assert [point["payload"] for point in ours] == theirs["metadatas"]
    assert np.array_equal(np.float32(theirs["embeddings"]), points.vectors[2:4])
