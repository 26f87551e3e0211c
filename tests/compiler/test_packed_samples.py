"""Samples packed for a cluster are the samples that they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler import packed_samples
from snc.compiler.artefact_arrays import MalformedError
from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.packed_samples import open_packed, pack_samples, unpack_samples
from snc.ir.diagnostics import LimitExceeded


class TestPacking:
    @given(seed=st.integers(0, 99), count=st.integers(1, 3000), inputs=st.integers(1, 3), numbers=st.booleans())
    @settings(max_examples=15)
    def test_keeps_every_sample_and_label(self, seed: int, count: int, inputs: int, numbers: bool) -> None:
        rng = np.random.default_rng(seed)
        kinds = [np.float32, np.uint8, bool]
        arrays = {f"in {index}": rng.integers(0, 2, (count, 3)).astype(kinds[index]) for index in range(inputs)}
        labels = rng.standard_normal((count, 2)) if numbers else rng.integers(0, 9, count)
        data = ArrayDataSet(arrays, labels)
        content, names = pack_samples(data)
        assert unpack_samples(memoryview(content), names, "packed").digest() == data.digest()

    def test_reads_a_file(self, tmp_path: Path) -> None:
        data = ArrayDataSet({"": np.eye(3)}, np.arange(3))
        content, names = pack_samples(data)
        (tmp_path / "x.samples").write_bytes(content)
        assert open_packed(tmp_path / "x.samples", names).digest() == data.digest()

    def test_refuses_other_arrays(self) -> None:
        content, _ = pack_samples(ArrayDataSet({"": np.eye(3)}, np.arange(3)))
        with pytest.raises(MalformedError):
            unpack_samples(memoryview(content), ("a", "b"), "packed")

    def test_refuses_what_is_too_large_to_be_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packed_samples, "MAX_PACKED_BYTES", 10)
        with pytest.raises(LimitExceeded, match="--jobs"):
            pack_samples(ArrayDataSet({"": np.eye(3)}, np.arange(3)))
