"""The loader: good models come whole into memory, hostile and broken files end in an error that says what was found."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from snc.compiler.onnx import limits
from snc.compiler.onnx.limits import printable
from snc.compiler.onnx.loading import load_model, opset_of
from snc.ir.diagnostics import LimitExceeded, ModelError, SncError, UnsafeInput, UsageError

WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)
DATA = "weights.bin"


def model(weights: Any = WEIGHTS, *, opset: int = 13, nodes: Any = None, extra: Any = ()) -> onnx.ModelProto:
    """x[1,3] @ w + b, with `weights` an array or a tensor."""
    tensor = weights if isinstance(weights, TensorProto) else numpy_helper.from_array(weights, "w")
    made = helper.make_graph(
        nodes or [helper.make_node("MatMul", ["x", "w"], ["m"], "fc"), helper.make_node("Add", ["m", "b"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [tensor, numpy_helper.from_array(np.ones(4, np.float32), "b"), *extra],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def external(location: str = DATA, **more: Any) -> TensorProto:
    """A tensor of the shape of WEIGHTS that claims to stand in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=WEIGHTS.shape, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def save(folder: Path, proto: onnx.ModelProto, *, data: bytes | None = None) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    if data is not None:
        (folder / DATA).write_bytes(data)
    return path


def refusal(kind: type[SncError], path: Path, **more: Any) -> SncError:
    with pytest.raises(kind) as caught:
        load_model(path, **more)
    assert type(caught.value) is kind
    return caught.value


def weights_of(loaded: onnx.ModelProto) -> Any:
    return numpy_helper.to_array(loaded.graph.initializer[0])


@pytest.fixture(autouse=True)
def no_other_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnx's own code must not open external data."""

    def refuse(*_: object) -> None:
        raise AssertionError("onnx's loader of external data was called")

    monkeypatch.setattr(onnx.external_data_helper, "load_external_data_for_tensor", refuse)


class TestGoodModels:
    def test_come_as_they_are(self, tmp_path: Path) -> None:
        assert load_model(save(tmp_path, model())) == model()

    def test_come_with_their_external_data_in_memory(self, tmp_path: Path) -> None:
        path = save(tmp_path, model(external(offset=8, length=48)), data=b"12345678" + WEIGHTS.tobytes() + b"rest")
        loaded = load_model(str(path))
        (tmp_path / DATA).unlink()
        assert np.array_equal(weights_of(loaded), WEIGHTS)
        onnx.checker.check_model(loaded)

    def test_come_from_a_folder_below_and_without_offset_and_length(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "w").write_bytes(WEIGHTS.tobytes())
        assert np.array_equal(weights_of(load_model(save(tmp_path, model(external("./data/w"))))), WEIGHTS)

    def test_come_from_a_relative_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        save(tmp_path, model(external()), data=WEIGHTS.tobytes())
        monkeypatch.chdir(tmp_path)
        assert np.array_equal(weights_of(load_model("net.onnx")), WEIGHTS)

    def test_in_attributes_and_inner_graphs_are_completed_too(self, tmp_path: Path) -> None:
        constant = helper.make_node("Constant", [], ["c"], value=external())
        inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("c", 1, [3, 4])])
        proto = model()
        flag = numpy_helper.from_array(np.array(True), "flag")
        proto.graph.initializer.append(flag)
        proto.graph.node.append(helper.make_node("If", ["flag"], ["z"], then_branch=inner, else_branch=inner))
        loaded = load_model(save(tmp_path, proto, data=WEIGHTS.tobytes()))
        for attribute in loaded.graph.node[-1].attribute:
            assert np.array_equal(numpy_helper.to_array(attribute.g.node[0].attribute[0].t), WEIGHTS)

    @pytest.mark.parametrize(
        "dtype", ["f4", "f8", "f2", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", "c8", "c16"]
    )
    def test_take_every_element_type_raw_and_typed(self, tmp_path: Path, dtype: str) -> None:
        values = np.ones((2, 3), dtype)
        raw = numpy_helper.from_array(values, "raw")
        typed = helper.make_tensor("typed", raw.data_type, [2, 3], values.reshape(-1))
        assert typed.raw_data == b""
        loaded = load_model(save(tmp_path, model(extra=[raw, typed])))
        assert all(np.array_equal(numpy_helper.to_array(each), values) for each in loaded.graph.initializer[2:])

    @pytest.mark.parametrize("element", [TensorProto.INT4, TensorProto.UINT4])
    def test_take_packed_elements(self, tmp_path: Path, element: int) -> None:
        packed = helper.make_tensor("packed", element, [3], [1, 2, 3])
        assert len(load_model(save(tmp_path, model(extra=[packed]))).graph.initializer) == 3

    def test_take_empty_tensors_and_texts(self, tmp_path: Path) -> None:
        empty = numpy_helper.from_array(np.zeros((0, 3), np.float32), "empty")
        words = TensorProto(name="words", data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"b"])
        assert load_model(save(tmp_path, model(extra=[empty, words])))

    def test_may_be_checked_without_the_data_of_large_tensors(self, tmp_path: Path) -> None:
        large = np.zeros((3, 1000), np.float32)
        loaded = load_model(save(tmp_path, model(large)))
        assert weights_of(loaded).shape == (3, 1000)

    def test_leave_the_files_untouched(self, tmp_path: Path) -> None:
        path = save(tmp_path, model(external()), data=WEIGHTS.tobytes())
        before = [(each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(tmp_path.iterdir())]
        for each in tmp_path.iterdir():
            each.chmod(0o400)
        load_model(path)
        assert [(each.read_bytes(), each.stat().st_mtime_ns) for each in sorted(tmp_path.iterdir())] == before


class TestExternalData:
    """Everything but a regular file below the model's folder is refused, and nothing of it is read."""

    @pytest.mark.parametrize(
        "location",
        [
            "/etc/passwd",
            "../weights.bin",
            "a/../../weights.bin",
            "a/..",
            "..",
            ".",
            "",
            "a//b",
            "\\\\server\\share",
            "..\\weights.bin",
            "C:/weights.bin",
            "c:weights.bin",
            "weights\n.bin",
            "weights.bin\0",
            "a" * 5000,
            "/dev/zero",
        ],
    )
    def test_at_unsafe_places(self, tmp_path: Path, location: str) -> None:
        (tmp_path / "inner").mkdir()
        (tmp_path / DATA).write_bytes(WEIGHTS.tobytes())
        error = refusal(UnsafeInput, save(tmp_path / "inner", model(external(location)), data=WEIGHTS.tobytes()))
        assert error.exit_code == 5
        assert error.diagnostics[0].node == "w"
        assert str(error).replace("\n", "").isprintable()

    def test_behind_a_linked_file(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_bytes(WEIGHTS.tobytes())
        (tmp_path / DATA).symlink_to("real")
        assert "behind a link" in str(refusal(UnsafeInput, save(tmp_path, model(external()))))

    def test_behind_a_linked_folder(self, tmp_path: Path) -> None:
        (tmp_path / "real" / "deep").mkdir(parents=True)
        (tmp_path / "real" / "deep" / "w").write_bytes(WEIGHTS.tobytes())
        (tmp_path / "link").symlink_to("real")
        path = save(tmp_path, model(external("link/deep/w")))
        assert "behind a link" in str(refusal(UnsafeInput, path))

    def test_with_a_dangling_or_circular_link(self, tmp_path: Path) -> None:
        (tmp_path / DATA).symlink_to(DATA)
        refusal(UnsafeInput, save(tmp_path, model(external())))

    def test_with_a_hard_link(self, tmp_path: Path) -> None:
        (tmp_path / "other").write_bytes(WEIGHTS.tobytes())
        os.link(tmp_path / "other", tmp_path / DATA)
        assert "hard link" in str(refusal(UnsafeInput, save(tmp_path, model(external()))))

    def test_in_a_fifo(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / DATA)
        assert "no regular file" in str(refusal(UnsafeInput, save(tmp_path, model(external()))))

    def test_in_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / DATA).mkdir()
        assert "no regular file" in str(refusal(UnsafeInput, save(tmp_path, model(external()))))

    @pytest.mark.skipif(os.getuid() != 0, reason="only root makes device nodes")
    def test_in_a_device(self, tmp_path: Path) -> None:
        try:
            os.mknod(tmp_path / DATA, 0o020666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("device nodes are not allowed here")
        assert "no regular file" in str(refusal(UnsafeInput, save(tmp_path, model(external()))))

    def test_below_a_file(self, tmp_path: Path) -> None:
        refusal(UnsafeInput, save(tmp_path, model(external(f"{DATA}/x")), data=b""))

    @pytest.mark.parametrize(
        "more",
        [
            {"offset": -1},
            {"offset": 10**17},
            {"offset": 10**30},
            {"offset": "0x0"},
            {"offset": " 0"},
            {"offset": "\u0664"},
            {"offset": ""},
            {"offset": 1},
            {"length": -1},
            {"length": 47},
            {"length": 49},
            {"length": "48.0"},
            {"basepath": "/"},
            {"__class__": "x"},
        ],
    )
    def test_with_wrong_numbers_or_keys(self, tmp_path: Path, more: dict[str, Any]) -> None:
        refusal(UnsafeInput, save(tmp_path, model(external(**more)), data=WEIGHTS.tobytes()))

    def test_with_doubled_keys(self, tmp_path: Path) -> None:
        tensor = external()
        tensor.external_data.add(key="location", value="other")
        refusal(UnsafeInput, save(tmp_path, model(tensor), data=WEIGHTS.tobytes()))

    def test_beside_data_in_the_model(self, tmp_path: Path) -> None:
        tensor = external()
        tensor.raw_data = WEIGHTS.tobytes()
        refusal(UnsafeInput, save(tmp_path, model(tensor), data=WEIGHTS.tobytes()))

    def test_without_saying_so(self, tmp_path: Path) -> None:
        tensor = external()
        tensor.data_location = TensorProto.DEFAULT
        refusal(UnsafeInput, save(tmp_path, model(tensor), data=WEIGHTS.tobytes()))

    @pytest.mark.parametrize("dims", [[1 << 40, 1 << 40], [-3, -4], [1 << 62, 4], [3] * 70])
    def test_of_impossible_shapes(self, tmp_path: Path, dims: list[int]) -> None:
        tensor = external()
        tensor.dims[:] = dims
        refusal(UnsafeInput, save(tmp_path, model(tensor), data=WEIGHTS.tobytes()))

    def test_that_is_missing_names_tensor_and_file(self, tmp_path: Path) -> None:
        error = refusal(ModelError, save(tmp_path, model(external("gone.bin"))))
        assert error.diagnostics[0].node == "w" and "gone.bin" in error.diagnostics[0].message

    def test_that_is_missing_is_told_for_all_tensors_at_once(self, tmp_path: Path) -> None:
        second = external("gone.bin")
        second.name = "v"
        error = refusal(ModelError, save(tmp_path, model(external("lost.bin"), extra=[second])))
        assert [each.node for each in error.diagnostics] == ["w", "v"]

    def test_beyond_the_budget_is_not_read(self, tmp_path: Path) -> None:
        path = save(tmp_path, model(external()), data=WEIGHTS.tobytes())
        size = path.stat().st_size
        assert load_model(path, max_bytes=size + WEIGHTS.nbytes)
        assert refusal(LimitExceeded, path, max_bytes=size + WEIGHTS.nbytes - 1).exit_code == 6

    def test_of_a_sparse_file_used_many_times_counts_each_time(self, tmp_path: Path) -> None:
        big = external()
        big.dims[:] = [1 << 26]
        copies = [TensorProto() for _ in range(20)]
        for number, copy in enumerate(copies):
            copy.CopyFrom(big)
            copy.name = f"copy {number}"
        path = save(tmp_path, model(extra=copies))
        with (tmp_path / DATA).open("wb") as file:
            file.truncate(1 << 28)
        refusal(LimitExceeded, path, max_bytes=1 << 29)

    def test_in_a_file_handle_is_closed_again(self, tmp_path: Path) -> None:
        path = save(tmp_path, model(external()), data=WEIGHTS.tobytes())
        before = len(os.listdir("/proc/self/fd"))
        load_model(path)
        (tmp_path / DATA).write_bytes(b"short")
        refusal(UnsafeInput, path)
        assert len(os.listdir("/proc/self/fd")) == before


class TestFile:
    def test_that_is_none_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "empty").touch()
        for place in (tmp_path, tmp_path / "fifo", tmp_path / "empty", Path("/dev/zero")):
            refusal(UnsafeInput, place)
        for place in (tmp_path / "absent", tmp_path / "a\0b"):
            refusal(UsageError, place)

    def test_beyond_the_limit_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path, model())
        refusal(LimitExceeded, path, max_bytes=path.stat().st_size - 1)
        assert load_model(path, max_bytes=path.stat().st_size)

    def test_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        for content in (
            b"hello world, this is no model\n",
            b"PK\x03\x04" + bytes(100),
            b"\x89PNG\r\n\x1a\n",
            b"\0" * 64,
        ):
            path.write_bytes(content)
            refusal(UnsafeInput, path)

    def test_of_the_pure_python_protobuf_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("snc.compiler.onnx.loading.api_implementation.Type", lambda: "python")
        refusal(UsageError, save(tmp_path, model()))

    def test_cut_anywhere_is_refused(self, tmp_path: Path) -> None:
        path = save(tmp_path, model())
        content = path.read_bytes()
        for size in range(1, len(content)):
            path.write_bytes(content[:size])
            with pytest.raises((UnsafeInput, ModelError)):
                load_model(path)

    def test_with_flipped_bits_is_a_model_or_an_error_of_ours(self, tmp_path: Path) -> None:
        path = save(tmp_path, model(external(offset=0, length=48)), data=WEIGHTS.tobytes())
        content = path.read_bytes()
        generator = np.random.default_rng(7)
        outcomes: set[type] = set()
        for _ in range(600):
            damaged = bytearray(content)
            for at in generator.integers(0, len(content), generator.integers(1, 4)):
                damaged[at] = generator.integers(0, 256)
            path.write_bytes(damaged)
            try:
                outcomes.add(type(load_model(path)))
            except SncError as error:
                assert str(error).replace("\n", "").isprintable()
                outcomes.add(type(error))
        assert {onnx.ModelProto, UnsafeInput, ModelError} <= outcomes

    def test_of_random_bytes_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        generator = np.random.default_rng(8)
        for size in range(1, 200):
            path.write_bytes(generator.bytes(size))
            with pytest.raises((UnsafeInput, ModelError)):
                load_model(path)


class TestBombs:
    def test_of_empty_messages_are_refused_before_parsing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "MAX_FIELDS", 10_000)
        graph = b"\x0a\x00" * 20_000
        path = tmp_path / "net.onnx"
        path.write_bytes(b"\x3a" + bytes([0xC0, 0xB8, 0x02]) + graph)
        monkeypatch.setattr(onnx, "ModelProto", None)
        assert "10000 fields" in str(refusal(LimitExceeded, path))

    def test_of_packed_integers_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MAX_PACKED_BYTES", 1000)
        typed = helper.make_tensor("typed", TensorProto.INT32, [1001], [1] * 1001)
        assert "packed integers" in str(refusal(LimitExceeded, save(tmp_path, model(extra=[typed]))))

    def test_of_nested_messages_are_refused(self, tmp_path: Path) -> None:
        message = b""
        for _ in range(2000):  # attribute.g.node in turns: fields 6, 1 and 5
            for field in (b"\x2a", b"\x0a", b"\x32"):
                size = len(message)
                encoded = bytearray()
                while size >= 0x80:
                    encoded.append(size & 0x7F | 0x80)
                    size >>= 7
                message = field + bytes([*encoded, size]) + message
        path = tmp_path / "net.onnx"
        path.write_bytes(message)
        with pytest.raises((LimitExceeded, UnsafeInput)):
            load_model(path)

    def test_of_graphs_in_graphs_are_refused(self, tmp_path: Path) -> None:
        output = helper.make_tensor_value_info("c", 1, [3, 4])
        graph = helper.make_graph([helper.make_node("Identity", ["w"], ["c"])], "inner", [], [output])
        for _ in range(limits.MAX_GRAPH_DEPTH):
            node = helper.make_node("If", ["flag"], ["c"], then_branch=graph, else_branch=graph.__class__(name="none"))
            graph = helper.make_graph([node], "inner", [], [output])
        proto = model()
        proto.graph.node.append(graph.node[0])
        assert "inside each other" in str(refusal(LimitExceeded, save(tmp_path, proto)))

    @pytest.mark.parametrize("name", ["MAX_NODES", "MAX_TENSORS"])
    def test_of_many_nodes_or_tensors_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(limits, name, 1)
        assert "too many" in str(refusal(LimitExceeded, save(tmp_path, model())))


class TestTensors:
    @staticmethod
    def changed(change: Callable[[Any], object]) -> onnx.ModelProto:
        tensor = numpy_helper.from_array(WEIGHTS, "w")
        change(tensor)
        return model(tensor)

    @pytest.mark.parametrize(
        "change",
        [
            lambda tensor: tensor.dims.append(2),
            lambda tensor: tensor.dims.append(0),
            lambda tensor: tensor.dims.append(-1),
            lambda tensor: tensor.dims.extend([1] * 100),
            lambda tensor: tensor.dims.extend([1 << 60, 1 << 60, 0]),
            lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:-1]),
            lambda tensor: setattr(tensor, "raw_data", tensor.raw_data + b"x"),
            lambda tensor: setattr(tensor, "data_type", TensorProto.DOUBLE),
            lambda tensor: setattr(tensor, "data_type", TensorProto.UNDEFINED),
            lambda tensor: setattr(tensor, "data_type", TensorProto.STRING),
            lambda tensor: setattr(tensor, "data_type", 999),
            lambda tensor: tensor.float_data.append(1.0),
            lambda tensor: setattr(tensor.segment, "begin", 1),
            lambda tensor: tensor.ClearField("raw_data"),
            lambda tensor: (tensor.ClearField("raw_data"), tensor.int32_data.extend(range(12))),
            lambda tensor: (tensor.ClearField("raw_data"), tensor.float_data.extend(range(11))),
        ],
    )
    def test_that_do_not_hold_their_shape_are_refused(
        self, tmp_path: Path, change: Callable[[TensorProto], object]
    ) -> None:
        error = refusal(UnsafeInput, save(tmp_path, self.changed(change)))
        assert [each.node for each in error.diagnostics] == ["w"]

    def test_with_control_characters_in_the_name_are_shown_escaped(self, tmp_path: Path) -> None:
        proto = self.changed(lambda tensor: tensor.dims.append(2))
        proto.graph.initializer[0].name = "\x1b[2Jw\n"
        error = refusal(UnsafeInput, save(tmp_path, proto))
        assert error.diagnostics[0].node == "\\x1b[2Jw\\n"

    def test_with_names_that_are_no_utf8_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "net.onnx"
        path.write_bytes(save(tmp_path, model()).read_bytes().replace(b"fc", b"\xff\xfe"))
        assert "UTF-8" in str(refusal(UnsafeInput, path))

    def test_that_share_a_name_are_refused(self, tmp_path: Path) -> None:
        again = numpy_helper.from_array(WEIGHTS, "w")
        assert "share a name" in str(refusal(ModelError, save(tmp_path, model(extra=[again]))))


class TestValues:
    @pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_that_are_no_numbers_are_refused(self, tmp_path: Path, dtype: str, value: float) -> None:
        weights = WEIGHTS.astype(dtype)
        weights[1, 2] = value
        raw = numpy_helper.from_array(weights, "w")
        typed = helper.make_tensor("w", raw.data_type, weights.shape, weights.reshape(-1))
        for tensor in (raw, typed):
            error = refusal(ModelError, save(tmp_path, model(tensor)))
            assert error.diagnostics[0].node == "w" and error.diagnostics[0].found.startswith("1 of 12 values")

    def test_that_are_no_numbers_in_bfloat16_are_refused(self, tmp_path: Path) -> None:
        words = np.full(12, 0x3F80, "<u2")  # 1.0
        tensor = TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[3, 4], raw_data=words.tobytes())
        assert load_model(save(tmp_path, model(tensor)))
        words[3] = 0x7FC0
        tensor.raw_data = words.tobytes()
        refusal(ModelError, save(tmp_path, model(tensor)))

    def test_that_are_no_numbers_in_external_data_are_refused(self, tmp_path: Path) -> None:
        refusal(ModelError, save(tmp_path, model(external()), data=b"\xff" * 48))

    def test_that_are_no_numbers_in_a_constant_node_are_refused(self, tmp_path: Path) -> None:
        value = numpy_helper.from_array(np.array([1, np.nan], np.float32))
        proto = model()
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["c"], "const", value=value))
        assert refusal(ModelError, save(tmp_path, proto)).diagnostics[0].node == "const.value"

    def test_that_nothing_uses_are_not_looked_at(self, tmp_path: Path) -> None:
        unused = numpy_helper.from_array(np.array([np.nan, 1], np.float32), "unused")
        assert load_model(save(tmp_path, model(extra=[unused])))

    def test_that_are_single_infinite_bounds_are_taken(self, tmp_path: Path) -> None:
        bound = numpy_helper.from_array(np.array(np.inf, np.float32), "bound")
        proto = model(extra=[bound])
        proto.graph.node.append(helper.make_node("Min", ["y", "bound"], ["z"]))
        assert load_model(save(tmp_path, proto))

    def test_that_are_bad_in_many_tensors_are_listed_up_to_ten(self, tmp_path: Path) -> None:
        bad = [numpy_helper.from_array(np.full(2, np.nan, np.float32), f"bad{number}") for number in range(15)]
        proto = model(extra=bad)
        proto.graph.node.append(helper.make_node("Sum", [each.name for each in bad], ["z"]))
        error = refusal(ModelError, save(tmp_path, proto))
        assert len(error.diagnostics) == 11 and error.diagnostics[-1].message.startswith("5 more")


class TestOpset:
    @pytest.mark.parametrize("opset", [1, 6])
    def test_that_is_old_is_refused(self, tmp_path: Path, opset: int) -> None:
        error = refusal(ModelError, save(tmp_path, model(opset=opset)))
        (problem,) = error.diagnostics
        assert problem.found == f"opset {opset}" and "7" in problem.expected and problem.help

    def test_of_the_default_domain_is_found_by_either_name(self) -> None:
        proto = model(opset=13)
        proto.opset_import.add(domain="com.microsoft", version=1)
        assert opset_of(proto) == 13
        proto.opset_import[0].domain = "ai.onnx"
        assert opset_of(proto) == 13

    def test_that_is_missing_or_ambiguous_is_refused(self) -> None:
        proto = model(opset=13)
        proto.opset_import.add(domain="ai.onnx", version=12)
        with pytest.raises(ModelError):
            opset_of(proto)
        del proto.opset_import[:]
        with pytest.raises(ModelError):
            opset_of(proto)


class TestStructure:
    def test_without_nodes_is_refused(self, tmp_path: Path) -> None:
        proto = model()
        del proto.graph.node[:]
        refusal(ModelError, save(tmp_path, proto))

    def test_without_a_graph_is_refused(self, tmp_path: Path) -> None:
        refusal(ModelError, save(tmp_path, onnx.ModelProto(ir_version=8, producer_name="x")))

    def test_that_the_checker_refuses_is_refused_with_its_first_line(self, tmp_path: Path) -> None:
        error = refusal(ModelError, save(tmp_path, model(nodes=[helper.make_node("Add", ["x", "gone"], ["y"])])))
        assert error.diagnostics[0].code == "SNC0209" and "gone" in error.diagnostics[0].found

    def test_that_is_large_is_taken_without_the_checker(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MAX_CHECKED_BYTES", 10)
        assert load_model(save(tmp_path, model(nodes=[helper.make_node("Add", ["x", "gone"], ["y"])])))


class TestPrintable:
    def test_escapes_and_shortens(self) -> None:
        assert printable("conv\x1b[0m\u202e\n") == "conv\\x1b[0m\\u202e\\n"
        assert printable("layer/\u00e4") == "layer/\u00e4"
        assert len(printable("x" * 1000)) == 123
