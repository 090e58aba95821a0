"""Arrays in .npy files, written and read a piece at a time, so that no second copy of a replay is ever in memory.

Not memory-mapped: pages of a mapped file count as the process's own as soon as they were touched.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIECE_BYTES = 8 * 2**20  # about what is in memory beside the replay itself

Array = NDArray[Any]


def write_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterable[Array]) -> None:
    """Writes one array (N, ...) whose pieces (n, ...) come one behind the other.

    Raises:
        ValueError: a piece doesn't fit, the pieces don't make N rows, or the dtype is of Python objects (no pickle).
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
    """An array (N, ...) in an open .npy file, read in rows.

    Raises:
        ValueError: the file is no plain array in C order, or holds Python objects.
    """

    def __init__(self, file: BufferedReader) -> None:
        if (version := np.lib.format.read_magic(file)) != (1, 0):
            raise ValueError(f"{file.name}: .npy version {version}, not (1, 0)")
        self.shape, fortran_order, self.dtype = np.lib.format.read_array_header_1_0(file)
        if fortran_order or self.dtype.hasobject or not self.shape:
            raise ValueError(f"{file.name}: {self.dtype} {self.shape} is no plain array in C order")
        self._file = file
        self._begin = file.tell()

    @property
    def row_bytes(self) -> int:
        """Size of a row."""
        return self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))

    def read(self, first: int, rows: int) -> Array:
        """A copy (rows, ...) of the rows from `first` on; raises ValueError if the file ends before."""
        out = np.empty((rows, *self.shape[1:]), self.dtype)
        self._file.seek(self._begin + first * self.row_bytes)
        if self._file.readinto(out.data) != out.nbytes:
            raise ValueError(f"{self._file.name}: ends before row {first + rows}")
        return out


@contextmanager
def open_array(path: Path) -> Iterator[ArrayFile]:
    """The array in a file, as long as the `with` statement lasts."""
    with open(path, "rb") as file:
        yield ArrayFile(file)
