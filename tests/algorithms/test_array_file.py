"""Arrays in pieces: numpy's file format, without pickle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamer_exp.algorithms.array_file import open_array, write_array

DTYPES = ["float32", "float16", "uint8", "int64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 2, 3), (6, 0), (0, 4)])
def test_numpy_reads_an_array_written_in_pieces(tmp_path: Path, shape: tuple[int, ...], dtype: str) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    write_array(tmp_path / "x.npy", shape, array.dtype, [array[:1], array[1:1], array[1:]])
    read = np.load(tmp_path / "x.npy", allow_pickle=False)
    assert (read.dtype, read.shape) == (array.dtype, shape)
    assert np.array_equal(read, array)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_an_array_saved_by_numpy_are_read(tmp_path: Path, dtype: str) -> None:
    array = np.arange(24).reshape(6, 4).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    with open_array(tmp_path / "x.npy") as file:
        assert (file.shape, file.dtype) == ((6, 4), array.dtype)
        assert np.array_equal(file.read(4, 2), array[4:])
        assert np.array_equal(file.read(1, 3), array[1:4])
        assert file.read(6, 0).shape == (0, 4)


def test_rows_are_writable_copies(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6))
    with open_array(tmp_path / "x.npy") as file:
        read = file.read(0, 6)
    read += 1
    assert read.tolist() == [1, 2, 3, 4, 5, 6]


def test_pieces_in_fortran_order_are_written_in_c_order(tmp_path: Path) -> None:
    piece = np.asfortranarray(np.arange(6).reshape(2, 3))
    write_array(tmp_path / "x.npy", (2, 3), piece.dtype, [piece])
    assert np.array_equal(np.load(tmp_path / "x.npy"), piece)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([np.zeros((2, 3), np.float64)], "a piece of float64"),
        ([np.zeros((2, 4), np.float32)], r"a piece of float32 \(2, 4\)"),
        ([np.zeros((1, 3), np.float32)], "pieces of 1 rows in an array of 2"),
    ],
)
def test_pieces_that_do_not_fit_are_refused(tmp_path: Path, pieces: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_array(tmp_path / "x.npy", (2, 3), np.dtype(np.float32), pieces)


def test_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    objects = np.array([{}, None])
    with pytest.raises(ValueError, match="Python objects"):
        write_array(tmp_path / "x.npy", (2,), objects.dtype, [objects])
    np.save(tmp_path / "y.npy", objects, allow_pickle=True)
    with pytest.raises(ValueError, match=r"y.npy: object \(2,\) is not a plain array"), open_array(tmp_path / "y.npy"):
        pass


@pytest.mark.parametrize("array", [np.asfortranarray(np.zeros((2, 3))), np.array(1.0)])
def test_arrays_without_contiguous_rows_are_refused(tmp_path: Path, array: Any) -> None:
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(ValueError, match="is not a plain array in C order"), open_array(tmp_path / "x.npy"):
        pass


def test_another_version_of_npy_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, np.zeros(3), version=(2, 0))
    with pytest.raises(ValueError, match=r"version \(2, 0\), not \(1, 0\)"), open_array(tmp_path / "x.npy"):
        pass


def test_a_read_beyond_the_end_of_a_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-4])
    with open_array(tmp_path / "x.npy") as file:
        assert file.read(0, 5).tolist() == [0, 1, 2, 3, 4]
        with pytest.raises(ValueError, match="ends before row 6"):
            file.read(5, 1)


def test_a_file_that_is_not_an_array_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_text("not an array")
    with pytest.raises(ValueError, match="magic string"), open_array(tmp_path / "x.npy"):
        pass
