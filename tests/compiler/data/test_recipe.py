"""The text of a preprocessing, and what its steps do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.data.open import open_data
from snc.compiler.data.recipe import COLORS, DTYPES, LAYOUTS, MAX_TEXT, PRESETS, WORDS, parse_recipe
from snc.compiler.data.steps import Sample
from snc.ir.diagnostics import UsageError

from .files import npy, npz, whole, written

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text()
ROWS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("|")]
BECOME = re.compile(r"`(\w+) \[([\d, ]+)\]`")


def prepared(array: np.ndarray, text: str, layout: str = "") -> np.ndarray:
    return parse_recipe(text).apply(array, Sample(array.shape[1:], array.dtype, layout), "here")


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


class TestText:
    @pytest.mark.parametrize(
        ("text", "word", "expected"),
        [
            ("scal=1/255", "scal=1/255", "one of color"),
            ("scale", "scale", "a number or a fraction"),
            ("scale=1/0", "scale=1/0", "without 0"),
            ("scale=1//2", "scale=1//2", "a number or a fraction"),
            ("scale=1e999", "scale=1e999", "a number or a fraction"),
            ("scale=١", "scale=١", "a number or a fraction"),
            ("threshold=half", "threshold=half", "a number, such as 127"),
            ("mean=1,,2", "mean=1,,2", "one for each channel"),
            ("std=1,0", "std=1,0", "above 0"),
            ("resize=0", "resize=0", "shorter side"),
            ("resize=1x2x3", "resize=1x2x3", "shorter side"),
            ("crop=99999", "crop=99999", "at most 8192"),
            ("layout=chw", "layout=chw", "one of nchw, nhwc"),
            ("dtype=complex64", "dtype=complex64", "one of bool"),
            ("dtype=object", "dtype=object", "one of bool"),
            ("reshape=1x-1", "reshape=1x-1", "the extents of a sample"),
            ("flatten=1", "flatten=1", "no value"),
            ("imagenet=1", "imagenet=1", "no value"),
            ("scale=1 color=gray", "color=gray", "the first word"),
            ("color=red", "color=red", "one of rgb, gray"),
            ("", "", "one of color"),
            ("  ", "", "one of color"),
            ("x" * (MAX_TEXT + 1), "x" * 40, "one of color"),
        ],
    )
    def test_errors_name_the_word_and_what_was_expected(self, text: str, word: str, expected: str) -> None:
        with pytest.raises(UsageError) as caught:
            parse_recipe(text)
        (problem,) = caught.value.diagnostics
        assert problem.code == "SNC0836" and problem.node.strip() == word and expected in problem.expected

    def test_all_wrong_words_are_told_at_once(self) -> None:
        with pytest.raises(UsageError) as caught:
            parse_recipe("scle=2 crop=224 std=0 dtype=int")
        assert [problem.node for problem in caught.value.diagnostics] == ["scle=2", "std=0", "dtype=int"]
        assert "scale" in caught.value.diagnostics[0].help

    @given(st.text(max_size=40) | st.lists(st.sampled_from([*WORDS, *"=x,/1 e-"]), max_size=12).map("".join))
    def test_any_text_is_a_recipe_or_an_error_of_ours(self, text: str) -> None:
        try:
            assert parse_recipe(text) == parse_recipe(f" {text} ")
        except UsageError as error:
            assert {problem.code for problem in error.diagnostics} == {"SNC0836"}

    def test_presets_stand_for_their_words(self) -> None:
        for name, words in PRESETS.items():
            assert parse_recipe(name) == parse_recipe(words)


class TestPage:
    """docs/data.md says what there is, and what it says is so."""

    def test_names_every_word_and_value(self) -> None:
        shown = " ".join(row[0] for row in ROWS)
        for word in WORDS:
            assert f"`{word}" in shown, word
        for value in (*(f"color={each}" for each in COLORS), *(f"layout={each}" for each in LAYOUTS)):
            assert f"`{value}`" in shown
        assert {"float16", "int8", "bool"} <= set(DTYPES)

    @pytest.mark.parametrize("row", [row for row in ROWS if row[0] != "word" and len(row) == 3 and "=" in row[0]])
    def test_words_can_be_read(self, row: Sequence[str]) -> None:
        for text in re.findall(r"`([^`]+)`", row[0]):
            parse_recipe(text)

    @pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 2 and row[0].strip("`") in PRESETS])
    def test_presets_are_those_of_the_code(self, row: Sequence[str]) -> None:
        assert PRESETS[row[0].strip("`")] == row[1].strip("`")

    @pytest.mark.parametrize("row", [row for row in ROWS if len(row) == 3 and BECOME.fullmatch(row[0])])
    def test_samples_become_what_it_says(self, row: Sequence[str]) -> None:
        (before, after) = (BECOME.fullmatch(cell) for cell in (row[0], row[2]))
        assert before is not None and after is not None
        shape = [int(extent) for extent in before[2].split(",")]
        array = numbers(0, 2, *shape).astype(before[1])
        data = ArrayDataSet({"": array})
        found = parse_recipe(row[1].strip("`")).after(Sample(tuple(shape), array.dtype), data.source)
        result = prepared(array, row[1].strip("`"))
        assert found.dtype == result.dtype == np.dtype(after[1])
        assert found.shape == result.shape[1:] == tuple(int(extent) for extent in after[2].split(","))


class TestSteps:
    def test_scale_rounds_as_a_division_does(self) -> None:
        every = np.arange(256, dtype=np.uint8)[np.newaxis]
        assert np.array_equal(prepared(every, "scale=1/255"), every.astype(np.float32) / np.float32(255))
        assert np.array_equal(prepared(every, "scale=0.25"), every.astype(np.float32) * np.float32(0.25))
        assert prepared(every.astype(np.float64), "scale=1/3").dtype == np.float64

    def test_mean_and_std_go_by_channel(self) -> None:
        array = numbers(1, 4, 5, 6, 3)
        mean, std = np.float32([1, 2, 3]), np.float32([0.5, 2, 4])
        last = (array.astype(np.float32) - mean) / std
        assert np.array_equal(prepared(array, "mean=1,2,3 std=0.5,2,4", "nhwc"), last)
        first = prepared(array, "layout=nchw mean=1,2,3 std=0.5,2,4")
        assert np.array_equal(first, np.moveaxis(last, 3, 1))

    @given(st.integers(-300, 300), st.sampled_from(["uint8", "int16", "float32", "float64", "int64"]))
    def test_threshold_is_strictly_above(self, value: int, kind: str) -> None:
        array = (np.arange(-300, 301) if kind != "uint8" else np.arange(256)).astype(kind)[np.newaxis]
        found = prepared(array, f"threshold={value}")
        assert found.dtype == np.uint8 and np.array_equal(found, array > value)

    def test_types_hold_what_they_are_given(self) -> None:
        whole_numbers = np.array([[0.0, 1.0, 255.0]])
        assert np.array_equal(prepared(whole_numbers, "dtype=uint8"), [[0, 1, 255]])
        for value, kind in ((0.5, "int8"), (-1.0, "uint8"), (256.0, "uint8"), (2.0, "bool"), (2.0**63, "int64")):
            with pytest.raises(UsageError, match=f"the value {re.escape(str(value))}"):
                prepared(np.array([[value]]), f"dtype={kind}")
        with pytest.raises(UsageError, match="the value 300"):
            prepared(np.array([[300]]), "dtype=uint8")
        assert prepared(np.array([[-(2.0**63)]]), "dtype=int64").item() == -(2**63)

    def test_layouts_undo_each_other(self) -> None:
        array = numbers(2, 3, 4, 5, 2)
        assert prepared(array, "layout=nchw").shape == (3, 2, 4, 5)
        assert np.array_equal(prepared(array, "layout=nchw layout=nhwc"), array)
        with pytest.raises(UsageError, match="step layout"):
            prepared(array, "layout=nchw layout=nchw")

    def test_crop_takes_the_middle(self) -> None:
        array = numbers(3, 2, 7, 10)
        assert np.array_equal(prepared(array, "crop=3x4"), array[:, 2:5, 3:7])
        channels = numbers(3, 2, 3, 8, 10)
        assert np.array_equal(prepared(channels, "given=nchw crop=4"), channels[:, :, 2:6, 3:7])
        with pytest.raises(UsageError, match="at least 8x8"):
            prepared(array, "crop=8")

    @pytest.mark.parametrize(
        ("text", "shape", "message"),
        [
            ("crop=2", (3, 4, 5), "given=nhwc or given=nchw"),
            ("mean=1,2,3", (3, 4, 5), "given=nhwc or given=nchw"),
            ("given=nchw mean=1,2,3", (4, 4, 5), "1 number, or 4"),
            ("given=nhwc given=nchw", (4, 4, 5), "not nhwc already"),
            ("given=nhwc", (4, 4), "3 axes"),
            ("layout=nchw", (4, 4), "3 axes"),
            ("reshape=2x3", (4, 4), "6 numbers a sample"),
            ("scale=2 resize=3", (4, 4), "uint8 images"),
            ("given=nhwc resize=3", (4, 4, 2), "uint8 images of 1 or 3"),
            ("resize=3", (4,), "given=nhwc or given=nchw"),
        ],
    )
    def test_steps_that_do_not_fit_are_refused_before_any_sample(
        self, tmp_path: Path, text: str, shape: tuple[int, ...], message: str
    ) -> None:
        path = written(tmp_path / "x.npy", npy(np.zeros((2, *shape), np.uint8)))
        with pytest.raises(UsageError, match=message) as caught:
            open_data(path, preprocess=text)
        assert caught.value.diagnostics[0].code == "SNC0837" and caught.value.diagnostics[0].node == str(path)

    def test_resize_is_that_of_pillow(self) -> None:
        from PIL import Image

        array = numbers(4, 2, 20, 30, 3)
        expected = [np.asarray(Image.fromarray(each).resize((15, 10), Image.Resampling.BILINEAR)) for each in array]
        assert np.array_equal(prepared(array, "given=nhwc resize=10"), expected)
        assert np.array_equal(prepared(array, "layout=nchw resize=10x15 layout=nhwc"), expected)
        tall = prepared(np.moveaxis(array, 1, 2), "given=nhwc resize=10")
        assert tall.shape == (2, 15, 10, 3)
        gray = numbers(5, 2, 20, 30)
        assert np.array_equal(prepared(gray, "resize=10"), prepared(gray[..., None], "given=nhwc resize=10")[..., 0])
        with pytest.raises(UsageError, match="at most 8192 pixels"):
            prepared(numbers(6, 1, 1, 300), "resize=100")


class TestData:
    @given(st.integers(1, 9), st.integers(0, 2**32 - 1))
    def test_samples_do_not_depend_on_those_beside_them(self, size: int, seed: int) -> None:
        array = numbers(seed, 7, 6, 5)
        text = "crop=4 scale=1/255 mean=0.5 reshape=1x4x4"
        expected = prepared(array, text)
        parts = [prepared(array[start : start + size], text) for start in range(0, 7, size)]
        assert np.array_equal(np.concatenate(parts), expected)

    def test_every_input_is_prepared_and_no_label(self, tmp_path: Path) -> None:
        arrays = {"a": numbers(1, 5, 4), "b": numbers(2, 5, 2, 2), "labels": np.arange(5) * 100}
        data = open_data(written(tmp_path / "x.npz", npz(arrays)), preprocess="flatten threshold=100")
        inputs, labels = whole(data, 2)
        assert np.array_equal(inputs["a"], arrays["a"] > 100)
        assert np.array_equal(inputs["b"], (arrays["b"] > 100).reshape(5, 4))
        assert labels is not None and labels.tolist() == [0, 100, 200, 300, 400]
        assert data.fields["b"].shape == (4,) and data.fields["b"].dtype == np.uint8

    def test_nan_is_told_before_a_threshold_hides_it(self, tmp_path: Path) -> None:
        array = np.zeros((5, 2))
        array[3] = np.nan
        data = open_data(written(tmp_path / "x.npy", npy(array)), preprocess="threshold=0")
        with pytest.raises(UsageError, match="the first in sample 3"):
            list(data.batches(2))

    def test_values_that_become_infinite_are_told(self, tmp_path: Path) -> None:
        data = open_data(written(tmp_path / "x.npy", npy(np.full((5, 2), 1e30))), preprocess="dtype=float16")
        with pytest.raises(UsageError, match="the first in sample 0"):
            list(data.batches(2))

    def test_arrays_have_no_color(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="step color"):
            open_data(written(tmp_path / "x.npy", npy(np.zeros((5, 2)))), preprocess="color=gray")
