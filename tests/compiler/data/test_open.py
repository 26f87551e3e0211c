"""Files of every kind as one data set."""

from __future__ import annotations

import gzip
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.compiler.data import columns, numpy_files, streams
from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.data.dataset import Field
from snc.compiler.data.open import open_data
from snc.ir.diagnostics import LimitExceeded, SncError, UnsafeInput, UsageError

from .files import idx, npy, npz, samples, whole, written, zipped

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "digits" / "digits.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all examples of a property use."""
    return tmp_path_factory.mktemp("data")


class TestKinds:
    @given(samples(), st.integers(1, 15), st.integers(1, 15))
    def test_every_kind_of_file_gives_the_same_samples_and_digest(
        self, folder: Path, array: np.ndarray, size: int, other: int
    ) -> None:
        labels = np.arange(len(array)) % 3
        paths = [
            written(folder / "a.npy", npy(array)),
            written(folder / "b.npy", npy(array.astype(array.dtype.newbyteorder(">")))),
            written(folder / "c.npy", npy(np.asfortranarray(array))),
            written(folder / "images.idx", idx(array)),
            written(folder / "images.gz", zipped(idx(array))),
        ]
        classes = written(folder / "classes.gz", zipped(idx(labels.astype("u1"))))
        found = [open_data(path, labels=classes) for path in paths]
        for compressed in (False, True):
            for name in ("labels", "label", "y", "targets"):
                content = npz({"image": array, name: labels.astype("i2")}, compressed=compressed)
                found.append(open_data(written(folder / f"{name}{compressed}.npz", content)))
        memory = ArrayDataSet({"": array}, labels)
        for data in (*found, memory):
            inputs, got = whole(data, size)
            (together,) = inputs.values()
            assert together.dtype == array.dtype and np.array_equal(together, array)
            assert got is not None and got.dtype == np.int64 and np.array_equal(got, labels)
            assert data.count == len(array) and data.labels == Field((), np.dtype(np.int64))
            assert list(data.fields.values()) == [Field(array.shape[1:], array.dtype)]
            assert [len(batch.inputs[name]) for name in data.fields for batch in data.batches(other)] == [
                min(other, len(array) - start) for start in range(0, len(array), other)
            ]
            assert data.digest() == memory.digest()

    def test_arrays_of_several_inputs_stay_together(self, tmp_path: Path) -> None:
        a, b = np.arange(10.0).reshape(5, 2), np.arange(5, dtype=np.int8)
        data = open_data(written(tmp_path / "x.npz", npz({"b": b, "a": a})))
        inputs, labels = whole(data, 2)
        assert labels is None and data.labels is None
        assert np.array_equal(inputs["a"], a) and np.array_equal(inputs["b"], b)

    def test_a_labels_file_leaves_every_array_an_input(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.npz", npz({"x": np.zeros((3, 2)), "y": np.ones((3, 2))}))
        text = written(tmp_path / "classes.txt", b"2\n0\n1\n")
        data = open_data(path, labels=text)
        assert list(data.fields) == ["x", "y"]
        assert np.array_equal(next(data.batches(3)).labels, [2, 0, 1])

    def test_labels_may_be_one_array_of_an_archive(self, tmp_path: Path) -> None:
        images = written(tmp_path / "x.npy", npy(np.zeros((3, 2))))
        alone = written(tmp_path / "a.npz", npz({"anything": np.arange(3)}))
        among = written(tmp_path / "b.npz", npz({"anything": np.arange(3), "labels": np.arange(3)[::-1]}))
        assert next(open_data(images, labels=alone).batches(3)).labels.tolist() == [0, 1, 2]
        assert next(open_data(images, labels=among).batches(3)).labels.tolist() == [2, 1, 0]
        neither = written(tmp_path / "c.npz", npz({"a": np.arange(3), "b": np.arange(3)}))
        with pytest.raises(UsageError, match="arrays a, b"):
            open_data(images, labels=neither)

    def test_data_sets_go_to_other_processes(self, tmp_path: Path) -> None:
        array = np.arange(12.0).reshape(4, 3)
        content = npz({"x": array, "labels": np.arange(4)}, compressed=True)
        opened = open_data(written(tmp_path / "x.npz", content), preprocess="scale=1/2")
        for data in (opened, ArrayDataSet({"x": array}, np.arange(4))):
            again = pickle.loads(pickle.dumps(data))
            assert again.digest() == data.digest() and repr(again) == repr(data)

    def test_the_digits_of_the_examples(self) -> None:
        with np.load(DIGITS) as held:
            images, labels = held["images"], held["labels"]
        inputs, got = whole(open_data(DIGITS), 333)
        assert np.array_equal(inputs["images"], images) and np.array_equal(got, labels)

    def test_what_is_no_data_is_told_from_data(self, tmp_path: Path) -> None:
        for content in (b"", b"\0", b"hello", b"\x7fELF", b"\0\0\x0a\x01", b"\0\0\x08\x00", b"\0\0\x08\x63"):
            with pytest.raises(UnsafeInput, match="it begins with"):
                open_data(written(tmp_path / "x", content))
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UnsafeInput, match="no regular file"):
            open_data(tmp_path / "pipe")
        with pytest.raises(UsageError, match="cannot be opened"):
            open_data(tmp_path / "absent.npz")


class TestDigest:
    @given(samples(), st.integers(0, 2**32 - 1))
    def test_changes_with_any_sample_label_type_or_shape(self, array: np.ndarray, seed: int) -> None:
        labels = np.arange(len(array))
        digest = ArrayDataSet({"": array}, labels).digest()
        at = int(np.random.default_rng(seed).integers(array.size))
        changed = array.copy()
        changed.reshape(-1)[at] += 1
        others = [
            ArrayDataSet({"": changed}, labels),
            ArrayDataSet({"": array}, np.roll(labels, 1) + 1),
            ArrayDataSet({"": array}, None),
            ArrayDataSet({"": array[..., np.newaxis]}, labels),
            ArrayDataSet({"": array.astype(np.float16)}, labels),
        ]
        assert digest not in [data.digest() for data in others]

    def test_names_count_where_there_are_several(self) -> None:
        a, b = np.zeros((2, 3)), np.ones((2, 3))
        first = ArrayDataSet({"a": a, "b": b}).digest()
        assert first == ArrayDataSet({"b": b, "a": a}).digest()
        assert first != ArrayDataSet({"a": b, "b": a}).digest()

    def test_does_not_depend_on_how_much_is_read_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = ArrayDataSet({"": np.arange(300.0).reshape(100, 3)}, np.arange(100))
        digest = data.digest()
        monkeypatch.setattr(columns, "DIGESTED_BYTES", 100)
        assert data.digest() == digest


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (np.array([0, -1, 2]), "class -1 of sample 1"),
            (np.array([0, 2**63, 2], np.uint64), f"class {2**63} of sample 1"),
            (np.array([0.0, 1.0, 2.0]), "whole numbers as float64"),
            (np.array([0.5, np.nan, 2.0]), "NaN or infinite in sample 1"),
            (np.array([[0.5], [1.5], [np.inf]]), "NaN or infinite in sample 2"),
            (np.eye(3), "one-hot rows as float64"),
            (np.eye(3, dtype=np.int64), "for one-hot rows, store"),
            (np.array(["a", "b", "c"]), "shape"),
            (np.array(3), "a single number"),
            (np.array([0, 1]), "the labels: 2"),
        ],
    )
    def test_what_is_neither_classes_nor_numbers_is_refused(self, labels: np.ndarray, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            ArrayDataSet({"": np.zeros((3, 2))}, labels)

    @pytest.mark.parametrize("kind", ["bool", "int8", "uint16", "uint64", ">i4"])
    def test_classes_of_any_whole_type_are_int64(self, kind: str) -> None:
        for shape in ((2,), (2, 1)):
            data = ArrayDataSet({"": np.zeros((2, 2))}, np.array([0, 1], kind).reshape(shape))
            (batch,) = data.batches(5)
            assert batch.labels is not None and batch.labels.dtype == np.int64 and batch.labels.tolist() == [0, 1]

    def test_numbers_stay_floats(self) -> None:
        for numbers in (np.array([0.5, 1.0], np.float32), np.ones((2, 1)), np.full((2, 2, 2), 0.25)):
            data = ArrayDataSet({"": np.zeros((2, 2))}, numbers)
            assert data.labels == Field(numbers.shape[1:], numbers.dtype)
            (batch,) = data.batches(2)
            assert batch.labels is not None and np.array_equal(batch.labels, numbers)

    def test_two_arrays_that_may_be_the_labels(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.npz", npz({"x": np.zeros(3), "y": np.arange(3), "labels": np.arange(3)}))
        with pytest.raises(UsageError, match="labels under labels and y"):
            open_data(path)

    @pytest.mark.parametrize("text", ["1\nx\n2\n", "1\n\n2\n", "1,2\n", "1\n0x2\n3", "nan\n1\n2", "1\n1e999\n2"])
    def test_text_that_is_no_list_of_numbers(self, tmp_path: Path, text: str) -> None:
        images = written(tmp_path / "x.npy", npy(np.zeros((3, 2))))
        with pytest.raises(UsageError):
            open_data(images, labels=written(tmp_path / "l.txt", text.encode()))

    def test_text_of_numbers(self, tmp_path: Path) -> None:
        images = written(tmp_path / "x.npy", npy(np.zeros((3, 2))))
        data = open_data(images, labels=written(tmp_path / "l.txt", b"\xef\xbb\xbf0.5\r\n-1\r\n 2e3 "))
        assert next(data.batches(3)).labels.tolist() == [0.5, -1.0, 2000.0]
        with pytest.raises(UnsafeInput, match="byte 1 is no UTF-8"):
            open_data(images, labels=written(tmp_path / "l.txt", b"1\xff"))


class TestSamples:
    def test_nan_is_refused_with_its_sample(self) -> None:
        array = np.zeros((10, 3), np.float32)
        array[7, 1] = np.nan
        data = ArrayDataSet({"x": array})
        with pytest.raises(UsageError, match="the first in sample 7"):
            list(data.batches(4))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"x": np.zeros((3, 2)), "z": np.zeros((4, 2))}, "x: 3, z: 4"),
            ({"x": np.zeros((0, 2))}, "at least 1"),
            ({"x": np.zeros((2, 0))}, "at least 1"),
            ({"x": np.array(3.0)}, "a single number"),
            ({"x": np.zeros(3, complex)}, "complex128"),
            ({"x": np.array(["a"])}, "<U1"),
            ({"labels": np.arange(3)}, "no array but labels"),
        ],
    )
    def test_arrays_that_are_no_samples(self, tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            open_data(written(tmp_path / "x.npz", npz(arrays)))

    def test_batches_of_no_samples(self) -> None:
        with pytest.raises(ValueError, match="batches of 0"):
            ArrayDataSet({"": np.zeros(3)}).batches(0)

    def test_batches_that_would_fill_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(columns, "MAX_BATCH_BYTES", 100)
        data = open_data(written(tmp_path / "x.npy", npy(np.zeros((10, 4)))))
        assert sum(1 for _ in data.batches(3)) == 4
        with pytest.raises(LimitExceeded, match="take smaller batches"):
            data.batches(4)

    def test_interleaved_arrays_that_would_fill_memory(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(numpy_files, "MAX_HELD_BYTES", 100)
        with pytest.raises(LimitExceeded, match="ascontiguousarray"):
            open_data(written(tmp_path / "x.npy", npy(np.asfortranarray(np.zeros((10, 4))))))

    def test_archives_that_unpack_to_too_much(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(numpy_files, "MAX_UNPACKED_BYTES", 1000)
        with pytest.raises(LimitExceeded, match="bytes unpacked"):
            open_data(written(tmp_path / "x.npz", npz({"x": np.zeros(1000)}, compressed=True)))

    def test_a_file_that_changes_between_passes(self, tmp_path: Path) -> None:
        path = written(tmp_path / "x.npy", npy(np.zeros((3, 2))))
        data = open_data(path)
        written(path, npy(np.zeros((2, 3))))
        with pytest.raises(UnsafeInput, match="does not change"):
            list(data.batches(1))


class TestDamage:
    """Files that lie about themselves end in an error that names file, place and what was expected."""

    @pytest.mark.parametrize("kind", ["x.npy", "x.npz", "deflated.npz", "x.idx", "x.gz"])
    def test_any_file_that_ends_too_early(self, tmp_path: Path, kind: str) -> None:
        array = np.arange(4000, dtype=np.int16).reshape(100, 40)
        content = {
            "x.npy": npy(array),
            "x.npz": npz({"x": array}),
            "deflated.npz": npz({"x": array}, compressed=True),
            "x.idx": idx(array),
            "x.gz": zipped(idx(array)),
        }[kind]
        for length in (len(content) - 1, len(content) // 2, 30, 6):
            path = written(tmp_path / kind, content[:length])
            with pytest.raises(UnsafeInput) as caught:
                list(open_data(path).batches(7))
            assert caught.value.diagnostics[0].node == str(path) and caught.value.diagnostics[0].found

    def test_the_place_is_told(self, tmp_path: Path) -> None:
        array = np.arange(4000, dtype=np.int16).reshape(100, 40)
        path = written(tmp_path / "x.gz", zipped(idx(array)[:-1000]))
        with pytest.raises(UnsafeInput) as caught:
            list(open_data(path).batches(7))
        (problem,) = caught.value.diagnostics
        assert problem.found == "in gzip: the data ends at byte 7012"
        assert problem.expected == "8012 bytes: a header of 12, then shape [100, 40] of >i2"

    def test_files_that_go_on_too_long(self, tmp_path: Path) -> None:
        array = np.arange(40, dtype=np.int16)
        for name, content in (
            ("x.npy", npy(array) + b"\0"),
            ("x.idx", idx(array) + b"\0"),
            ("x.gz", zipped(idx(array) + b"\0")),
        ):
            with pytest.raises(UnsafeInput):
                list(open_data(written(tmp_path / name, content)).batches(7))

    def test_an_archive_whose_list_promises_more_than_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / "x.npz"
        header = npy(np.zeros(1))[:-8].replace(b"(1,), }", b"(9999999999,), }")[: len(npy(np.zeros(1))) - 8]
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", header + bytes(80))
        with pytest.raises(UnsafeInput, match="bytes of data for shape"):
            open_data(path)

    def test_truth_values_that_are_neither(self, tmp_path: Path) -> None:
        content = npy(np.ones(5, bool))[:-1] + b"\2"
        with pytest.raises(UnsafeInput, match="neither 0 nor 1"):
            list(open_data(written(tmp_path / "x.npy", content)).batches(5))

    def test_unusual_packing_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("x.npy", npy(np.zeros(3)))
        with pytest.raises(UnsafeInput, match="packed in an unusual way"):
            open_data(tmp_path / "x.npz")

    @given(st.sampled_from(["npy", "npz", "deflated", "idx", "gz"]), st.integers(0, 2**32 - 1), st.sampled_from([0, 1]))
    def test_damaged_files_give_samples_or_errors_of_ours(self, folder: Path, kind: str, seed: int, cut: int) -> None:
        rng = np.random.default_rng(seed)
        array = rng.integers(0, 99, (20, 5)).astype(np.int16)
        arrays = {"x": array, "y": np.arange(20)}
        content = {
            "npy": npy(array),
            "npz": npz(arrays),
            "deflated": npz(arrays, compressed=True),
            "idx": idx(array),
            "gz": zipped(idx(array)),
        }[kind]
        data = bytearray(content)
        # Most of the damage goes where headers and directories are.
        places = np.concatenate([rng.integers(0, len(data), 2), rng.integers(0, min(len(data), 130), 2)])
        for at in places[: int(rng.integers(1, 5))]:
            data[at] = rng.integers(256)
        path = written(folder / f"damaged.{kind}", bytes(data[: len(data) - cut * int(rng.integers(1, len(data)))]))
        try:
            whole(open_data(path), int(rng.integers(1, 25)))
        except SncError as error:
            assert error.exit_code in (2, 5, 6)

    def test_memory_grows_with_what_is_found_alone(self, tmp_path: Path) -> None:
        """Headers that promise gigabytes, in files of a few bytes."""
        promise = b"\0\0\x08\x02" + (50).to_bytes(4, "big") + (1 << 25).to_bytes(4, "big")
        path = written(tmp_path / "x.gz", gzip.compress(promise + bytes(100)))
        program = (
            "import sys, tracemalloc; from pathlib import Path; from snc.compiler.data.open import open_data\n"
            "from snc.ir.diagnostics import UnsafeInput\n"
            "tracemalloc.start()\n"
            "try: list(open_data(Path(sys.argv[1])).batches(50))\n"
            "except UnsafeInput: print(tracemalloc.get_traced_memory()[1])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, path],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) < 20 << 20

    def test_chunks_of_a_stream_are_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(streams, "MAX_BATCH_BYTES", 100)
        data = open_data(written(tmp_path / "x.npy", npy(np.zeros((10, 4)))), preprocess="threshold=0")
        assert sum(1 for _ in data.batches(3)) == 4
        with pytest.raises(LimitExceeded):
            list(data.batches(4))
