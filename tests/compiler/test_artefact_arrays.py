"""Arrays, tables and JSON: one form for one content, and no other form is read."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from safetensors.numpy import load, save

from snc.compiler.artefact_arrays import (
    MalformedError,
    json_bytes,
    pack_arrays,
    pack_table,
    read_json,
    unpack_arrays,
    unpack_table,
)

DTYPES = st.sampled_from(["f8", "i8", "u8", "f4", "i4", "u4", "f2", "i2", "u2", "i1", "u1", "?"]).map(np.dtype)
ARRAY = DTYPES.flatmap(lambda dtype: np_st.arrays(dtype, np_st.array_shapes(min_dims=0, max_dims=3, min_side=0)))
ARRAYS = st.dictionaries(st.text("abz./_0", min_size=1, max_size=8), ARRAY, max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('a\u00e4\n"'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\u00fc", max_size=3), inner, max_size=3),
    max_leaves=10,
)


def packed(arrays: dict[str, Any]) -> bytes:
    return b"".join(pack_arrays(arrays))


def with_header(header: object, data: bytes = b"") -> memoryview:
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % 64)
    return memoryview(len(text).to_bytes(8, "little") + text + data)


def one(dtype: object = "U8", shape: object = (2,), offsets: object = (0, 2), **more: object) -> memoryview:
    return with_header({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}}, b"\0\1")


class TestArrays:
    @settings(deadline=None, max_examples=80)
    @given(ARRAYS)
    def test_come_back_bit_for_bit(self, arrays: dict[str, Any]) -> None:
        again = unpack_arrays(memoryview(packed(arrays)))
        assert again.keys() == arrays.keys()
        for name, array in arrays.items():
            assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
            assert again[name].tobytes() == array.tobytes()

    @settings(deadline=None, max_examples=80)
    @given(ARRAYS)
    def test_are_read_alike_by_the_safetensors_library(self, arrays: dict[str, Any]) -> None:
        again = load(packed(arrays))
        assert again.keys() == arrays.keys()
        for name, array in arrays.items():
            assert (again[name].dtype, again[name].shape) == (array.dtype, array.shape)
            assert again[name].tobytes() == array.tobytes()

    @settings(deadline=None, max_examples=40)
    @given(ARRAYS)
    def test_start_at_multiples_of_their_element_size(self, arrays: dict[str, Any]) -> None:
        content = packed(arrays)
        size = int.from_bytes(content[:8], "little")
        assert (8 + size) % 64 == 0
        header = json.loads(content[8 : 8 + size])
        assert all(entry["data_offsets"][0] % arrays[name].itemsize == 0 for name, entry in header.items())

    def test_hold_no_metadata(self) -> None:
        assert b"__metadata__" not in packed({"a": np.zeros(2)})

    def test_of_another_writer_with_metadata_are_refused(self) -> None:
        with pytest.raises(MalformedError):
            unpack_arrays(memoryview(save({"a": np.zeros(2)}, metadata={"k": "v"})))

    def test_of_one_good_file_are_read(self) -> None:
        assert unpack_arrays(one())["a"].tolist() == [0, 1]

    @pytest.mark.parametrize(
        "data",
        [
            memoryview(b""),
            memoryview(bytes(8)),
            memoryview((1 << 40).to_bytes(8, "little") + bytes(100)),
            with_header(b"[]"),
            with_header(b"{"),
            with_header(b"[" * 100_000),
            with_header(b"\xff" * 8),
            with_header(b'{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{}}', b"\0\1"),
            with_header({"a": None}),
            with_header({"": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"\0\1"),
            with_header(b'{"\\ud800":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', b"\0\1"),
            with_header({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"\0"),
            with_header({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}, b"\0\1\2"),
            with_header({"__metadata__": {"a": "b"}}),
            one(dtype="BF16"),
            one(dtype="O"),
            one(dtype=["U8"]),
            one(dtype="BOOL", shape=[2], offsets=[0, 2], extra=1),
            one(shape=[-2]),
            one(shape=[2.0]),
            one(shape=[True, 2]),
            one(shape="2"),
            one(shape=[1] * 33 + [2]),
            one(shape=[0, 1 << 39, 1 << 39], offsets=[0, 0]),
            one(shape=[1 << 62, 1 << 62], offsets=[0, 2]),
            one(offsets=[1, 3]),
            one(offsets=[0, 1]),
            one(offsets=[2, 0]),
            one(offsets=[0, 1 << 70]),
            one(offsets=None),
        ],
    )
    def test_in_hostile_files_are_refused(self, data: memoryview) -> None:
        with pytest.raises(MalformedError):
            unpack_arrays(data)

    def test_of_truth_values_other_than_0_and_1_are_refused(self) -> None:
        with pytest.raises(MalformedError):
            unpack_arrays(with_header({"a": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\0\2"))

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_in_damaged_headers_are_refused_or_read(self, data: st.DataObject) -> None:
        content = bytearray(packed({"a": np.arange(3, dtype="i2"), "b": np.zeros((2, 2))}))
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, 140))] = data.draw(st.integers(0, 255))
        try:
            assert all(isinstance(array, np.ndarray) for array in unpack_arrays(memoryview(content)).values())
        except MalformedError as error:
            assert str(error)


class TestTables:
    RECORDS = np.array([(1, -2, True), (3, -4, False)], dtype=[("a", "<u4"), ("b", "<i2"), ("c", "?")])

    def test_come_back_with_their_columns(self) -> None:
        for table in (self.RECORDS, self.RECORDS[:0], self.RECORDS[::-1], np.arange(5, dtype="<i4")):
            description, data = pack_table(table)
            again = unpack_table(json.loads(json_bytes(description)), memoryview(data))
            assert again.dtype == table.dtype and np.array_equal(again, table)

    def test_with_wrong_truth_values_are_refused(self) -> None:
        description, data = pack_table(self.RECORDS)
        damaged = bytearray(data)
        damaged[6] = 7
        with pytest.raises(MalformedError):
            unpack_table(description, memoryview(damaged))


class TestJson:
    @settings(deadline=None, max_examples=100)
    @given(JSON)
    def test_comes_back(self, value: Any) -> None:
        assert read_json(json_bytes(value)) == value

    def test_has_sorted_keys_and_no_spaces(self) -> None:
        assert json_bytes({"b": [1, 2.5, None], "a": "\u00e4"}) == '{"a":"\u00e4","b":[1,2.5,null]}'.encode()
