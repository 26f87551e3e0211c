"""Machine code at run time: compiler, cache, features."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from snc.ir.diagnostics import UsageError
from snc.runtime.jit import cache, code, engine
from snc.runtime.jit.code import I32, I64, Code, Module, vector
from snc.runtime.jit.features import Features, features, jit_mode


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.delenv("SNC_CACHE", raising=False)
    monkeypatch.setattr(cache.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
    return tmp_path / "jit"


def sum_text() -> str:
    """A module with total(address, count): the sum of i32."""
    module = Module()
    body = Code(module.function("total", 2, result=True, exported=True))
    address, count = body.parameters
    sums = body.variable(body.constant(vector(I64, 8), 0))
    total = body.variable(0)
    with body.loop(count & -8, step=8) as at:
        sums.set(sums.get() + body.load(address + at * 4, vector(I32, 8)).to(I64))
    with body.loop(count, start=count & -8) as at:
        total.set(total.get() + body.load(address + at * 4, I32).to(I64))
    for lane in range(8):
        total.set(total.get() + sums.get().lane(lane))
    body.end(total.get())
    return module.text()


def call_sum(library: engine.Library, values: np.ndarray) -> int:
    """Run `total`."""
    form = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    return int(form(library.address("total"))(values.ctypes.data, len(values)))


def load_sum(target: Features) -> engine.Library:
    """The compiled module."""
    return engine.load(sum_text, [code], ["total"], {}, target)


class TestEngine:
    @pytest.mark.parametrize("mode", ["portable", "auto"])
    def test_compiles_code_that_runs(self, folder: Path, mode: str) -> None:
        library = load_sum(features(mode))
        for count in (0, 1, 7, 8, 9, 100):
            values = np.arange(count, dtype=np.int32) - 50
            assert call_sum(library, values) == int(values.sum())

    def test_maps_code_that_nobody_can_write(self, folder: Path) -> None:
        maps = Path("/proc/self/maps")
        if not maps.exists():
            pytest.skip("needs /proc")
        library = load_sum(features("auto"))
        address = library.address("total")
        for line in maps.read_text().splitlines():
            span, rights = line.split()[:2]
            begin, end = (int(part, 16) for part in span.split("-"))
            if begin <= address < end:
                assert rights.startswith("r-x")
                return
        raise AssertionError("code is nowhere")


class TestCache:
    def test_keeps_object_code_under_a_key_of_sources_and_target(self, folder: Path) -> None:
        load_sum(features("auto"))
        (first,) = folder.iterdir()
        load_sum(features("portable"))
        assert len(list(folder.iterdir())) == 1 + (features("portable") != features("auto"))
        assert first.name != cache.cache_key(b"other", features("auto"))

    def test_serves_a_second_process_without_compiling(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        load_sum(features("auto"))
        monkeypatch.setattr(engine, "compile_object", lambda *_: pytest.fail("compiled again"))
        values = np.arange(30, dtype=np.int32)
        assert call_sum(load_sum(features("auto")), values) == 435

    @pytest.mark.parametrize("keep", [0, 5, 60, -1])
    def test_takes_damaged_files_for_missing(self, folder: Path, keep: int) -> None:
        load_sum(features("auto"))
        (file,) = folder.iterdir()
        file.write_bytes(file.read_bytes()[:keep])
        assert cache.read(file.name) is None
        assert call_sum(load_sum(features("auto")), np.ones(3, np.int32)) == 3
        assert cache.read(file.name) is not None

    def test_can_be_switched_off(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SNC_CACHE", "off")
        assert call_sum(load_sum(features("auto")), np.ones(3, np.int32)) == 3
        assert not folder.exists()

    def test_forgets_the_oldest_files(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cache, "MAX_FILES", 3)
        for number in range(6):
            cache.write(f"key{number}", b"code")
        assert len(list(folder.iterdir())) == 3
        assert cache.read("key5") == b"code"

    def test_lives_with_a_folder_that_cannot_be_made(self, folder: Path) -> None:
        folder.write_text("a file in the way")
        assert call_sum(load_sum(features("auto")), np.ones(3, np.int32)) == 3


class TestMode:
    def test_comes_from_the_argument_then_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SNC_JIT", raising=False)
        assert jit_mode() == "auto"
        monkeypatch.setenv("SNC_JIT", "portable")
        assert jit_mode() == "portable"
        assert jit_mode("off") == "off"

    def test_refuses_other_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SNC_JIT", "on")
        with pytest.raises(UsageError, match="portable"):
            jit_mode()

    def test_portable_code_uses_no_instruction_of_one_family(self) -> None:
        assert not any((features("portable").x86, features("portable").dot512, features("portable").dot256))
