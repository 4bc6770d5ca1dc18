"""Reads the vectors out of an answer in OpenAI's format, and believes none of it. Pure."""

import base64
import binascii
from typing import Any

import numpy as np
import orjson

from vectoray.core.model import FloatMatrix, FloatVector


class Unusable(Exception):
    """What is wrong with the answer, in words that may follow a colon."""


def read_vectors(content: bytes, *, texts: int, dimension: int) -> FloatMatrix:
    """The vectors, in the order of the texts: float32, shape (texts, dimension), of unit length.

    Args:
        content: JSON with ``data``, a list of objects with ``index`` and ``embedding``, which is a list of
            numbers or float32 (little endian) in base64.
        texts: How many were sent.
        dimension: Of each vector.

    Raises:
        Unusable: It is no such JSON, a vector is missing or twice there, or is of another length, or is not
            finite, or is zero.
    """
    vectors = np.full((texts, dimension), np.nan, dtype=np.float32)
    seen: set[int] = set()
    for index, embedding in _items(content):
        if not isinstance(index, int) or not 0 <= index < texts or index in seen:
            raise Unusable("the numbers of its vectors are not those of the texts")
        seen.add(index)
        vector = _vector(embedding)
        if len(vector) != dimension:
            raise Unusable(f"its vectors have {len(vector)} dimensions, not {dimension}")
        vectors[index] = vector
    if len(seen) < texts:
        raise Unusable(f"it has {len(seen)} vectors for {texts} texts")
    # In float64: squares of large float32 overflow.
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not lengths.all():
        raise Unusable("a vector is zero or not finite")
    return (vectors / lengths).astype(np.float32)


def _items(content: bytes) -> list[tuple[Any, Any]]:
    try:
        return [(item["index"], item["embedding"]) for item in orjson.loads(content)["data"]]
    except (ValueError, TypeError, KeyError):
        raise Unusable("it is not in the format of embeddings") from None


def _vector(embedding: Any) -> FloatVector:
    try:
        if isinstance(embedding, str):
            return np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4").astype(np.float32)
        if isinstance(embedding, list) and all(type(number) in {float, int} for number in embedding):
            with np.errstate(over="ignore"):
                return np.array(embedding, dtype=np.float32)
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise Unusable("a vector is neither a list of numbers nor float32 in base64")
