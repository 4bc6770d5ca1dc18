"""One function per API operation: what to send, and how to read the answer. Does no I/O.

A `Call` is a value, so a synchronous and an asynchronous client share everything but the sending.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import orjson

from vectoray.client.values import (
    CollectionPage,
    EmbeddingModel,
    QueryAnswer,
    ServerHealth,
    StoredVector,
)
from vectoray.core.errors import CollectionNotFound, InvalidRequest, NotFound
from vectoray.core.model import FloatMatrix, Metric
from vectoray.core.vectors import check_id, check_name

T = TypeVar("T")

_VECTORIZER_METRICS = {Metric.COSINE: "cosine", Metric.DOT: "dotproduct", Metric.EUCLIDEAN: "euclidean"}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the meaning of its answer.

    Attributes:
        path: Absolute and percent-encoded.
        parse: Turns the decoded JSON of a 2xx answer into a value.
        body: JSON to send, or None.
        missing: What a 404 means where the answer itself does not say it.
    """

    method: str
    path: str
    parse: Callable[[Any], T]
    params: Mapping[str, int | str] = field(default_factory=dict)
    body: bytes | None = None
    missing: type[NotFound] = NotFound


def health() -> Call[ServerHealth]:
    """Ask how the server is."""
    return Call("GET", "/api/v1/health", ServerHealth.from_json)


def list_models() -> Call[list[EmbeddingModel]]:
    """Ask for the embedding models, the default one first."""
    return Call("GET", "/api/models", lambda items: [EmbeddingModel.from_json(item) for item in items])


def ping() -> Call[None]:
    """Ask whether the server answers at all."""
    return Call("GET", "/healthz", _nothing)


def list_collections(*, skip: int, limit: int) -> Call[CollectionPage]:
    """Ask for a page of collections."""
    return Call("GET", "/api/collections", CollectionPage.from_json, params={"skip": skip, "limit": limit})


def find_collection(name: str) -> Call[CollectionPage]:
    """Ask for the collection of that name: a page of one, or of none."""
    return Call("GET", "/api/collections", CollectionPage.from_json, params={"name": name})


def create_collection(name: str, *, dimension: int, metric: Metric) -> Call[None]:
    """Create a collection."""
    body = {"name": check_name(name), "dimension": dimension, "metric": _VECTORIZER_METRICS[metric]}
    return Call("POST", "/api/v1/collections", _nothing, body=orjson.dumps(body))


def delete_collection(name: str) -> Call[None]:
    """Delete a collection with all its vectors."""
    return Call("DELETE", _collection_path(name), _nothing)


def insert(
    name: str,
    ids: Sequence[str],
    vectors: npt.ArrayLike,
    payloads: Sequence[Mapping[str, Any]] | None,
) -> Call[int]:
    """Insert vectors, replacing those whose id exists. The value is how many were written.

    Args:
        name: The collection.
        ids: n non-empty strings.
        vectors: Shape (n, dimension), sent as float32.
        payloads: n JSON objects, or None for none.

    Raises:
        InvalidRequest: The three have different lengths, or a value is not finite as float32.
    """
    matrix = _float32(vectors, ndim=2, where="vectors")
    if len(matrix) != len(ids) or (payloads is not None and len(payloads) != len(ids)):
        sizes = f"{len(ids)} ids, {len(matrix)} vectors"
        if payloads is not None:
            sizes += f" and {len(payloads)} payloads"
        raise InvalidRequest(f"There are {sizes}; the numbers must be equal.")
    points = [
        {
            "id": check_id(point_id, where=f"ids[{row}]"),
            "vector": matrix[row],
            "payload": {} if payloads is None else payloads[row],
        }
        for row, point_id in enumerate(ids)
    ]
    return Call(
        "POST",
        f"{_collection_path(name)}/vectors",
        lambda answer: int(answer["inserted"]),
        body=_encode({"vectors": points}),
    )


def get(name: str, point_id: str) -> Call[StoredVector]:
    """Ask for one vector by id."""
    return Call("GET", _vector_path(name, point_id), StoredVector.from_json)


def delete(name: str, point_id: str) -> Call[None]:
    """Delete one vector by id."""
    return Call("DELETE", _vector_path(name, point_id), _nothing)


def query(
    collection_id: str, *, text: str | None, vector: npt.ArrayLike | None, top_k: int
) -> Call[QueryAnswer]:
    """Ask for the vectors closest to a text or a vector.

    Raises:
        InvalidRequest: Both or neither of ``text`` and ``vector`` are given, or ``vector`` is not finite.
    """
    if (text is None) == (vector is None):
        raise InvalidRequest("A query takes either a text or a vector.")
    body: dict[str, object] = {"top_k": top_k}
    if text is not None:
        body["text"] = text
    if vector is not None:
        body["vector"] = _float32(vector, ndim=1, where="vector")
    return Call(
        "POST",
        f"/api/collections/{_segment(collection_id)}/query",
        QueryAnswer.from_json,
        body=_encode(body),
        missing=CollectionNotFound,
    )


def _nothing(_: object) -> None:
    return None


def _collection_path(name: str) -> str:
    return f"/api/v1/collections/{_segment(check_name(name))}"


def _vector_path(name: str, point_id: str) -> str:
    return f"{_collection_path(name)}/vectors/{_segment(check_id(point_id, where='id'))}"


def _segment(value: str) -> str:
    """Encode ``value`` as exactly one path segment.

    Dots too when there is nothing else: a client or proxy resolves ``/vectors/..`` to the collection, and
    deleting the vector ``..`` would delete that.
    """
    encoded = quote(value, safe="")
    return encoded.replace(".", "%2E") if encoded in {".", ".."} else encoded


def _float32(values: npt.ArrayLike, *, ndim: int, where: str) -> FloatMatrix:
    """Convert to C-contiguous float32; JSON has no NaN or infinity, so those are refused here.

    Half the digits of float64 are sent, and a list of lists of unequal length is found here.
    """
    try:
        # An overflow to infinity is reported below, by name.
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise InvalidRequest(f"{where} is not an array of numbers, all rows of one length.") from None
    if array.ndim != ndim:
        raise InvalidRequest(f"{where} has {array.ndim} axes, {ndim} are expected.")
    finite = np.isfinite(array)
    if not finite.all():
        at = "".join(f"[{index}]" for index in np.argwhere(~finite)[0])
        raise InvalidRequest(f"{where}{at} is not a finite number within the range of float32.")
    return array


def _encode(body: object) -> bytes:
    try:
        return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise InvalidRequest(f"The request does not fit into JSON: {error}.") from None
