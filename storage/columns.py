"""Values of mapped Arrow columns, read without making an object for each row."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# Stands in a column of chunk indexes where a point has none.
NO_CHUNK = -1


class BytesColumn:
    """A column of ``large_binary`` or ``large_string`` as a sequence of bytes; nulls are empty."""

    def __init__(self, column: Any) -> None:
        """Wrap a column.

        Args:
            column: A `pyarrow.Array` of 64-bit offsets. It keeps its memory, or its mapping, alive.
        """
        self.column = column
        validity, offsets, data = column.buffers()
        self._first: int = column.offset
        # Views, not arrays: they give Python integers.
        self._validity = memoryview(validity) if validity is not None and column.null_count else None
        self._offsets = memoryview(offsets if offsets is not None else bytes(8)).cast("b").cast("q")
        self._data = memoryview(data if data is not None else b"")

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: int) -> bytes:
        at = self._first + row
        return bytes(self._data[self._offsets[at] : self._offsets[at + 1]])

    def is_null(self, row: int) -> bool:
        """Whether there is nothing in this row, not even an empty string."""
        if self._validity is None:
            return False
        at = self._first + row
        return not self._validity[at >> 3] >> (at & 7) & 1

    def __iter__(self) -> Iterator[bytes]:
        return (self[row] for row in range(len(self)))


def numbers(column: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """A column of numbers without nulls as an array over the same memory.

    Not by the column's ``to_numpy``, which imports pandas: that takes a quarter of a second and 36 MB.
    """
    _, data = column.buffers()
    if data is None:
        return np.empty(0, dtype=dtype)
    return np.frombuffer(data, dtype, len(column), column.offset * np.dtype(dtype).itemsize)


def chunk_column(indexes: Sequence[int | None] | None, rows: int) -> npt.NDArray[np.int32]:
    """Chunk indexes as numbers, `NO_CHUNK` for None: int32, shape (rows,).

    Args:
        indexes: One for each row; None if no row has one.
        rows: How many.
    """
    if indexes is None:
        return np.full(rows, NO_CHUNK, dtype=np.int32)
    return np.fromiter((NO_CHUNK if one is None else one for one in indexes), np.int32, rows)


def chunk_index(number: int) -> int | None:
    """What a number of `chunk_column` stands for."""
    return None if number == NO_CHUNK else number
