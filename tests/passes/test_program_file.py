"""Programs on disk: whole or not at all, and nothing believed before it is checked."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snc.ir.compare import difference
from snc.ir.diagnostics import LimitExceeded, ParseError, SncError, UnsafeInput, UsageError
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ModuleOp
from snc.passes import program_file
from snc.passes.program_file import arrays_path, load_program, save_program

from ..strategies import modules
from .nets import Net

here = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def module(seed: int = 7) -> ModuleOp:
    net = Net((2, 40))
    net.rng = np.random.default_rng(seed)
    return net.module(net(nn.MatMulOp(lhs=net.x, rhs=net.random(40, 3))))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "net.snir"
    save_program(path, module())
    return path


class TestSaveProgram:
    @here
    @given(program=modules())
    def test_loads_back(self, tmp_path: Path, program: ModuleOp) -> None:
        path = tmp_path / "net.snir"
        save_program(path, program, first_line="// RUN: fold-constants")
        assert difference(load_program(path), program, locations=True) is None

    def test_gives_the_same_bytes_again(self, saved: Path) -> None:
        before = saved.read_bytes(), arrays_path(saved).read_bytes()
        save_program(saved, module())
        assert (saved.read_bytes(), arrays_path(saved).read_bytes()) == before

    def test_keeps_the_old_file_when_writing_fails(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = saved.read_bytes()

        def fail(source: str, target: Path) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="disk full"):
            save_program(saved, module(seed=8))
        assert saved.read_bytes() == before
        assert sorted(path.name for path in saved.parent.iterdir()) == ["net.npz", "net.snir"]

    def test_needs_no_arrays_beside_a_small_program(self, tmp_path: Path) -> None:
        net = Net((2,))
        save_program(tmp_path / "small.snir", net.module(net(nn.AddOp(lhs=net.x, rhs=net.random(2)))))
        assert [path.name for path in tmp_path.iterdir()] == ["small.snir"]


def npy(shape: tuple[int, ...], data: bytes, dtype: str = "<f4") -> bytes:
    header = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def archive(content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        file.writestr("a.npy", content)
    return packed.getvalue()


class TestLoadProgram:
    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"no zip",
            archive(b""),
            archive(b"no array"),
            archive(npy((1 << 60,), b"")),
            archive(npy((2,), b"1234")),
            archive(npy((1,), b"12345678", "|O")),
            archive(npy((1 << 20,), bytes(1 << 22)), zipfile.ZIP_DEFLATED),
            archive(b"\x93NUMPY\x09\x00" + bytes(100)),
        ],
        ids=["empty", "no zip", "empty array", "no array", "huge", "short", "objects", "compressed", "version"],
    )
    def test_refuses_arrays_that_are_not_what_they_say(self, saved: Path, content: bytes) -> None:
        arrays_path(saved).write_bytes(content)
        with pytest.raises(UnsafeInput, match="corrupt"):
            load_program(saved)

    @here
    @given(position=st.integers(0, 2000), value=st.integers(0, 255))
    def test_a_changed_byte_is_an_error_for_the_user_or_does_not_matter(
        self, tmp_path: Path, position: int, value: int
    ) -> None:
        path = tmp_path / "net.snir"
        save_program(path, module())
        content = bytearray(arrays_path(path).read_bytes())
        content[position % len(content)] = value
        arrays_path(path).write_bytes(content)
        try:
            program = load_program(path)
        except SncError:
            return
        assert difference(program, module()) is None

    def test_refuses_missing_arrays_and_files(self, saved: Path) -> None:
        arrays_path(saved).unlink()
        with pytest.raises(ParseError):
            load_program(saved)
        with pytest.raises(UsageError, match="cannot be read"):
            load_program(saved.parent / "other.snir")
        with pytest.raises(UsageError, match="cannot be read"):
            load_program(saved.parent)

    def test_refuses_bytes_that_are_no_text(self, saved: Path) -> None:
        saved.write_bytes(b"\xff\xfe")
        with pytest.raises(UnsafeInput, match="UTF-8"):
            load_program(saved)

    def test_refuses_files_beyond_the_limits(self, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(program_file, "MAX_ARRAY_BYTES", 10)
        with pytest.raises(LimitExceeded, match="too large"):
            load_program(saved)
        monkeypatch.setattr(program_file, "MAX_TEXT_BYTES", 10)
        with pytest.raises(LimitExceeded, match="too large"):
            load_program(saved)
