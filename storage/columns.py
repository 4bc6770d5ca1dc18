"""Strings of a mapped Arrow column, read one at a time without making an Arrow object for each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt


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
