"""One collection through three families: the same ids in the same order, with the same scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.contract.vectory_client import User

QUERY = [1.0, 2.0, 2.0]
VECTORS: Mapping[str, list[float]] = {
    "near": [1.0, 2.0, 1.0],
    "far": [-3.0, 0.5, -1.0],
    "long": [4.0, 8.0, 9.0],
    # Equal to "twin-a" under every metric: the id decides, whatever came first.
    "twin-b": [0.5, 0.0, 2.0],
    "twin-a": [0.5, 0.0, 2.0],
    "side": [2.0, -1.0, 0.5],
}


def scored(metric: str) -> dict[str, float]:
    """Id -> score, best first and ties by id: in float64, as the formulas are written."""
    query = np.array(QUERY)
    found = {}
    for name, values in VECTORS.items():
        vector = np.array(values)
        inner = float(query @ vector)
        found[name] = {
            "cosine": inner / float(np.linalg.norm(query) * np.linalg.norm(vector)),
            "dot_product": inner,
            "euclidean": 1 / (1 + float(np.linalg.norm(query - vector))),
        }[metric]
    return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))


async def found(user: User, path: str, body: Mapping[str, Any], key: str) -> dict[str, float]:
    """Id -> score, in the order of the answer, which has the hits at ``key``."""
    response = await user.send("POST", path, body)
    assert response.status_code == 200, response.text
    return {hit["id"]: hit["score"] for hit in response.json()[key]}


@pytest.mark.parametrize("metric", ["cosine", "dot_product", "euclidean"])
async def test_every_family_finds_the_same(user: User, metric: str) -> None:
    path = await user.collection("docs", distance_metric=metric)
    await user.insert(path, *({"id": name, "vector": vector} for name, vector in VECTORS.items()))
    searches = {
        f"{path}/query": ({"vector": QUERY, "top_k": 10}, "results"),
        "/api/v1/collections/docs/search": ({"vector": QUERY, "limit": 10}, "results"),
        "/v1/vector/docs/search": ({"vector": QUERY, "k": 10}, "hits"),
    }
    wanted = scored(metric)
    for url, (body, key) in searches.items():
        answer = await found(user, url, body, key)
        assert list(answer) == list(wanted), url
        assert answer == pytest.approx(wanted, abs=1e-5), url
