"""Files of arrays from anybody."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.compiler.cli.output_files import array_content
from snc.compiler.data import array_files
from snc.compiler.data.array_files import read_arrays
from snc.ir.diagnostics import LimitExceeded, SncError, UnsafeInput, UsageError

DTYPES = ("<f4", "<f8", "|i1", "|u1", "<i2", "<i8", "|b1", ">f4", "<c8")


def npy(array: np.ndarray) -> bytes:
    packed = io.BytesIO()
    np.save(packed, array, allow_pickle=True)
    return packed.getvalue()


def npy_with_header(text: str, data: bytes = b"") -> bytes:
    header = text.encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def read(data: bytes, folder: Path) -> dict[str, np.ndarray]:
    path = folder / "x.npy"
    path.write_bytes(data)
    return read_arrays(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a property use."""
    return tmp_path_factory.mktemp("arrays")


class TestReadArrays:
    @given(
        st.sampled_from(DTYPES),
        st.lists(st.integers(0, 4), max_size=4),
        st.booleans(),
        st.integers(0, 2**32 - 1),
    )
    def test_gives_back_what_numpy_wrote(
        self, folder: Path, dtype: str, shape: list[int], fortran: bool, seed: int
    ) -> None:
        raw = np.random.default_rng(seed).integers(0, 2, (*shape, np.dtype(dtype).itemsize), np.uint8)
        array = np.ascontiguousarray(raw).view(dtype)[..., 0]
        array = np.asfortranarray(array) if fortran else array
        (found,) = read(npy(array), folder).values()
        assert found.dtype == array.dtype and found.shape == array.shape and found.tobytes() == array.tobytes()
        np.savez(folder / "x.npz", a=array)
        np.savez_compressed(folder / "y.npz", a=array)
        for name in ("x.npz", "y.npz"):
            (found,) = read_arrays(folder / name).values()
            assert found.dtype == array.dtype and found.tobytes() == array.tobytes()

    def test_maps_files_read_only(self, tmp_path: Path) -> None:
        (found,) = read(npy(np.arange(6.0)), tmp_path).values()
        assert not found.flags.writeable

    def test_unpickles_nothing(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(tmp_path / "sprung"),)

        for data in (npy(np.array([Trap()], object)), pickle.dumps(Trap())):
            with pytest.raises(UnsafeInput):
                read(data, tmp_path)
        np.savez(tmp_path / "trap.npz", a=np.array([Trap()], object))
        with pytest.raises(UnsafeInput, match="unpickled"):
            read_arrays(tmp_path / "trap.npz")
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x93NUMPY",
            b"\x93NUMPY\x09\x00\x10\x00",
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
            npy(np.zeros(5))[:-1],
            npy(np.zeros(5)) + b"\0",
            npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,)}"),
            npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2)}", bytes(16)),
            npy_with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {2**62})}}"),
            npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': 4}", bytes(16)),
            npy_with_header("{'descr': '|V0', 'fortran_order': False, 'shape': (4,)}"),
            npy_with_header("{'descr': [('a', [('b', 5)])], 'fortran_order': False, 'shape': (4,)}"),
            npy_with_header("(" * 5000),
            npy_with_header("-" * 9000 + "1"),
            npy_with_header("__import__('os').getpid()"),
            npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1," * 80 + ")}", bytes(4)),
            b"PK\x03\x04 no archive",
        ],
    )
    def test_refuses_what_numpy_did_not_write(self, data: bytes, tmp_path: Path) -> None:
        with pytest.raises(UnsafeInput):
            read(data, tmp_path)

    @given(st.integers(0, 2**32 - 1))
    def test_damaged_archives_give_arrays_or_errors_of_ours(self, folder: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        packed = io.BytesIO()
        np.savez_compressed(packed, a=np.arange(30.0), b=np.zeros((3, 4), np.int8))
        data = bytearray(packed.getvalue())
        for at in rng.integers(0, len(data), int(rng.integers(1, 4))):
            data[at] = rng.integers(256)
        try:
            read(bytes(data), folder)
        except SncError as error:
            assert error.exit_code in (5, 6)

    def test_archives_that_unpack_to_too_much(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(array_files, "MAX_UNPACKED_BYTES", 10_000)
        np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(2000, np.float64))
        with pytest.raises(LimitExceeded):
            read_arrays(tmp_path / "bomb.npz")

    def test_archives_of_too_many_or_strangely_packed_arrays(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "many.npz", "w") as archive:
            for index in range(array_files.MAX_ENTRIES + 1):
                archive.writestr(f"{index}.npy", b"")
        with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("a.npy", npy(np.zeros(3)))
        for name in ("many.npz", "lzma.npz"):
            with pytest.raises(UnsafeInput):
                read_arrays(tmp_path / name)

    def test_a_list_of_members_that_would_fill_memory_is_not_read(self, folder: Path) -> None:
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, 1 << 30, 0, 0)
        long_end = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 1 << 40, 0)
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
        for tail in (end, long_end + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 2**32 - 1, 0, 0)):
            with pytest.raises(UnsafeInput, match="a list of members of"):
                read(b"PK\3\4" + bytes(100) + tail, folder)

    def test_an_array_that_is_longer_in_the_list_than_in_the_file(self, tmp_path: Path) -> None:
        """Both sizes in the list of members say 3 GiB; so much is never taken."""
        path, length = tmp_path / "x.npz", 3 << 30
        header = npy(np.zeros(1, np.uint8))[:128].replace(b"(1,), }         ", b"(3221225472,), }")
        assert len(header) == 128 and b"3221225472" in header
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", header)
        data = bytearray(path.read_bytes())
        at = data.index(b"PK\1\2")
        data[at + 20 : at + 28] = struct.pack("<2L", length + 128, length + 128)
        path.write_bytes(data)
        tracemalloc.start()
        try:
            with pytest.raises(UnsafeInput):
                read_arrays(path)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()

    def test_two_arrays_of_one_name(self, tmp_path: Path) -> None:
        with pytest.warns(UserWarning), zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
            archive.writestr("a.npy", npy(np.zeros(3)))
            archive.writestr("a.npy", npy(np.ones(3)))
        with pytest.raises(UnsafeInput, match="two arrays of one name"):
            read_arrays(tmp_path / "x.npz")

    def test_files_that_are_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(array_files, "MAX_FILE_BYTES", 100)
        with pytest.raises(LimitExceeded):
            read(npy(np.zeros(100)), tmp_path)

    def test_folders_pipes_and_missing_files(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.npy")
        for path, kind in (
            (tmp_path, UnsafeInput),
            (tmp_path / "pipe.npy", UnsafeInput),
            (tmp_path / "no", UsageError),
        ):
            with pytest.raises(kind):
                read_arrays(path)


class TestArrayContent:
    def test_any_name_may_stand_in_an_archive(self, tmp_path: Path) -> None:
        arrays = {"file": np.arange(3), "a/b": np.zeros((2, 2), np.int8)}
        (tmp_path / "x.npz").write_bytes(array_content(arrays, tmp_path / "x.npz"))
        with np.load(tmp_path / "x.npz") as held:
            assert {name: held[name].tolist() for name in held} == {"file": [0, 1, 2], "a/b": [[0, 0], [0, 0]]}
