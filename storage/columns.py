"""Strings of a mapped Arrow column, read one at a time without making an Arrow object for each."""

from collections.abc import Iterator
from typing import Any, overload

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
        _, offsets, data = column.buffers()
        self._first: int = column.offset
        self._offsets: npt.NDArray[np.int64] = (
            np.frombuffer(offsets, np.int64) if offsets else np.zeros(1, np.int64)
        )
        self._data = memoryview(data if data is not None else b"")

    def __len__(self) -> int:
        return len(self.column)

    @overload
    def __getitem__(self, row: int) -> bytes: ...
    @overload
    def __getitem__(self, row: slice) -> list[bytes]: ...
    def __getitem__(self, row: int | slice) -> bytes | list[bytes]:
        if isinstance(row, slice):
            return [self[at] for at in range(*row.indices(len(self)))]
        at = self._first + row
        return bytes(self._data[self._offsets[at] : self._offsets[at + 1]])

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
