"""What a vector, an id, a source and a name must be to be accepted. Pure checks, used at every entrance."""

import re
from collections.abc import Sequence

import numpy as np

from vectoray.core.errors import DimensionMismatch, InvalidName, InvalidRequest, LimitExceeded
from vectoray.core.model import FloatMatrix, FloatVector, Metric

MAX_ID_BYTES = 512
MAX_SOURCE_BYTES = 1024
MAX_CHUNK_INDEX = 2**31 - 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


def check_name(name: str) -> str:
    """Return ``name`` if a collection may be called so.

    Raises:
        InvalidName: The name is empty, longer than 255 characters, or has other characters than letters,
            digits, ``.``, ``_`` and ``-``, or starts with one of those three.
    """
    if not _NAME.fullmatch(name):
        raise InvalidName(
            "A collection name is 1 to 255 letters, digits, '.', '_' or '-', the first a letter or digit.",
            {"name": name[:255]},
        )
    return name


def check_id(point_id: str, *, where: str) -> str:
    """Return ``point_id`` if a point may be called so.

    Raises:
        InvalidRequest: The id is empty or not valid Unicode.
        LimitExceeded: The id is longer than `MAX_ID_BYTES` in UTF-8.
    """
    if not point_id:
        raise InvalidRequest(f"{where} is empty; every vector needs an id.", {"at": where})
    _check_bytes(point_id, MAX_ID_BYTES, where=where)
    return point_id


def check_source(source: str, *, where: str) -> str:
    """Return ``source`` if it may stand for the document that a point came from.

    Raises:
        InvalidRequest: It is not valid Unicode.
        LimitExceeded: It is longer than `MAX_SOURCE_BYTES` in UTF-8.
    """
    _check_bytes(source, MAX_SOURCE_BYTES, where=where)
    return source


def check_chunk_index(index: int, *, where: str) -> int:
    """Return ``index`` if it may be the number of a document's chunk.

    Raises:
        InvalidRequest: It is not from 0 to `MAX_CHUNK_INDEX`.
    """
    if not 0 <= index <= MAX_CHUNK_INDEX:
        raise InvalidRequest(f"{where} is {index}; it must be from 0 to {MAX_CHUNK_INDEX}.", {"at": where})
    return index


def _check_bytes(text: str, limit: int, *, where: str) -> None:
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidRequest(f"{where} is not valid Unicode.", {"at": where}) from None
    if size_bytes > limit:
        raise LimitExceeded(
            f"{where} has {size_bytes} bytes, at most {limit} are allowed.",
            {"at": where, "limit_bytes": limit},
        )


def check_vector(vector: FloatVector, *, dimension: int, metric: Metric, where: str) -> FloatVector:
    """Return ``vector`` if it may be stored in, or compared with, such a collection.

    Args:
        vector: float32, shape (d,).
        dimension: The collection's dimension.
        metric: The collection's metric.
        where: How to name the vector in an error, such as ``vectors[3].vector``.

    Raises:
        DimensionMismatch: d is not ``dimension``.
        InvalidRequest: A value is NaN or infinite as float32, or all are zero under cosine.
    """
    if vector.shape[0] != dimension:
        raise DimensionMismatch.of(expected=dimension, actual=int(vector.shape[0]), where=where)
    finite = np.isfinite(vector)
    if not finite.all():
        at = f"{where}[{int(np.flatnonzero(~finite)[0])}]"
        raise InvalidRequest(
            f"{at} is not a finite number within the range of float32 (about 3.4e38).", {"at": at}
        )
    if metric is Metric.COSINE and not vector.any():
        raise InvalidRequest(
            f"{where} is all zeros, which has no direction to compare under the cosine metric.", {"at": where}
        )
    return vector


def stack_vectors(
    vectors: FloatMatrix | Sequence[FloatVector],
    *,
    dimension: int,
    metric: Metric,
    where: str = "vectors[{row}].vector",
) -> FloatMatrix:
    """Check every vector and stack them: float32, shape (len(vectors), dimension), C-contiguous.

    A matrix is checked as a whole, and row by row only to name what is wrong: as ``where``, in which
    ``{row}`` is its number.

    Raises:
        DimensionMismatch, InvalidRequest: As `check_vector`, naming the first bad row.
    """
    if len(vectors) == 0:
        return np.empty((0, dimension), dtype=np.float32)
    if isinstance(vectors, np.ndarray) and _all_good(vectors, dimension=dimension, metric=metric):
        return np.ascontiguousarray(vectors, dtype=np.float32)
    for row, vector in enumerate(vectors):
        check_vector(vector, dimension=dimension, metric=metric, where=where.format(row=row))
    return np.ascontiguousarray(np.stack(list(vectors)), dtype=np.float32)


def _all_good(matrix: FloatMatrix, *, dimension: int, metric: Metric) -> bool:
    return (
        matrix.shape[1] == dimension
        and bool(np.isfinite(matrix).all())
        and (metric is not Metric.COSINE or bool(matrix.any(axis=1).all()))
    )
