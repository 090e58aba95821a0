"""Arrays in .npy files, written and read in pieces, so that memory never holds a second copy of a replay.

Files are not memory-mapped, as the pages of a mapped file count as the process's memory once they were read.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 8 * 2**20  # held in memory at a time

Array = NDArray[Any]


def write_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterable[Array]) -> None:
    """Write an array (N, ...) as the concatenation of pieces (n, ...).

    Raises:
        ValueError: A piece has another dtype or shape, the pieces do not add up to N rows, or the dtype is of Python
            objects, which would need pickle.
    """
    if dtype.hasobject:
        raise ValueError(f"{path}: arrays of Python objects are not written")
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    rows = 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            if (piece.dtype, piece.shape[1:]) != (dtype, shape[1:]):
                raise ValueError(f"{path}: a piece of {piece.dtype} {piece.shape} in an array of {dtype} {shape}")
            file.write(np.ascontiguousarray(piece).data)
            rows += len(piece)
    if rows != shape[0]:
        raise ValueError(f"{path}: pieces of {rows} rows in an array of {shape[0]}")


class ArrayFile:
    """An array (N, ...) in an open .npy file, read by rows.

    Raises:
        ValueError: The file is not an array in C order, or holds Python objects.
    """

    def __init__(self, file: BufferedReader) -> None:
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise ValueError(f"{file.name}: .npy version {version}, not (1, 0)")
        self.shape, fortran_order, self.dtype = np.lib.format.read_array_header_1_0(file)
        if fortran_order or self.dtype.hasobject or not self.shape:
            raise ValueError(f"{file.name}: {self.dtype} {self.shape} is not a plain array in C order")
        self._file = file
        self._begin = file.tell()

    @property
    def row_bytes(self) -> int:
        """Size of a row, bytes."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))

    def read(self, first: int, rows: int) -> Array:
        """Return a copy (rows, ...) of the rows from `first` on; raises ValueError if the file ends before."""
        out = np.empty((rows, *self.shape[1:]), self.dtype)
        self._file.seek(self._begin + first * self.row_bytes)
        if self._file.readinto(out.data) != out.nbytes:
            raise ValueError(f"{self._file.name}: ends before row {first + rows}")
        return out


@contextmanager
def open_array(path: Path) -> Iterator[ArrayFile]:
    """Open the array in a file for the duration of the `with` block."""
    with open(path, "rb") as file:
        yield ArrayFile(file)
