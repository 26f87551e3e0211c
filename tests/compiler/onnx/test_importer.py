"""Importing a graph: all problems at once, shapes, inputs and outputs, functions, determinism."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, parser

from snc.compiler.onnx.importer import check_model, hint_of, import_model
from snc.ir.diagnostics import Diagnostic, LimitExceeded, ModelError, UnsupportedOperator, UsageError
from snc.ir.dialects.builtin import ConstantOp
from snc.ir.dialects.nn import AddOp, Conv2dOp
from snc.ir.printer import print_module

from .graphs import Array, model, normal, oracle, run


def text(body: str, opset: int = 17) -> onnx.ModelProto:
    """A model from ONNX's textual form."""
    proto = parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {body}')
    assert isinstance(proto, onnx.ModelProto)
    return proto


def codes(error: pytest.ExceptionInfo[ModelError]) -> list[tuple[str, str]]:
    return [(entry.code, entry.node) for entry in error.value.diagnostics]


class TestRefusal:
    def test_every_node_is_reported_at_once(self) -> None:
        nodes = [
            helper.make_node("Sin", ["x"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"], name="fine"),
            helper.make_node("LSTM", ["b", "w", "w"], ["c"], name="second", hidden_size=2),
            helper.make_node("Conv", ["c", "w"], ["d"], name="third", strides=[0, 0]),
            helper.make_node("NonMaxSuppression", ["d", "x"], ["e"], name="fourth"),
        ]
        with pytest.raises(UnsupportedOperator) as error:
            import_model(model(nodes, {"x": [1, 2]}, ["e"], {"w": normal(0, 1, 2, 3, 3)}))
        assert codes(error) == [("SNC0101", "first"), ("SNC0101", "second"), ("SNC0101", "fourth")]
        assert "recurrent layers" in str(error.value) and "belongs on the host" in str(error.value)

    def test_control_flow_is_refused_by_name(self) -> None:
        body = helper.make_graph([], "body", [], [])
        node = helper.make_node("If", ["x"], ["y"], name="branch", then_branch=body, else_branch=body)
        with pytest.raises(UnsupportedOperator, match=r"branch: operator If is not taken: control flow"):
            import_model(model([node], {"x": [1]}, ["y"]))

    def test_an_unsupported_use_does_not_hide_others(self) -> None:
        nodes = [
            helper.make_node("Reshape", ["x", "s"], ["a"], name="dynamic"),
            helper.make_node("Relu", ["a"], ["b"], name="behind"),
            helper.make_node("MaxPool", ["x"], ["c", "i"], name="indices", kernel_shape=[2, 2]),
        ]
        shape = np.array([4], np.int64)
        with pytest.raises(UnsupportedOperator) as error:
            import_model(model(nodes, {"x": normal(0, 1, 1, 2, 2), "s": shape}, ["b", "i"]))
        assert codes(error) == [("SNC0104", "dynamic"), ("SNC0103", "indices")]

    def test_a_malformed_node_beside_an_unsupported_one_is_a_model_error(self) -> None:
        nodes = [
            helper.make_node("Sin", ["x"], ["a"], name="unsupported"),
            helper.make_node("Transpose", ["x"], ["b"], name="malformed", perm=[0, 0]),
        ]
        with pytest.raises(ModelError) as error:
            import_model(model(nodes, {"x": [2, 2]}, ["a", "b"]))
        assert not isinstance(error.value, UnsupportedOperator)
        assert codes(error) == [("SNC0101", "unsupported"), ("SNC0110", "malformed")]

    @pytest.mark.parametrize("opset", [6, 99])
    def test_unknown_opsets_are_refused(self, opset: int) -> None:
        with pytest.raises(UnsupportedOperator, match=f"opset {opset}"):
            import_model(text("g (float[2] x) => (float[2] y) { y = Relu(x) }", opset))

    def test_an_operator_of_another_domain_is_refused(self) -> None:
        node = helper.make_node("FusedConv", ["x"], ["y"], name="fused", domain="com.microsoft")
        with pytest.raises(UnsupportedOperator, match=r"com\.microsoft::FusedConv is not taken"):
            import_model(model([node], {"x": [1]}, ["y"], domains={"com.microsoft": 1}))

    def test_element_types_are_refused_by_name(self) -> None:
        proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"])
        proto.graph.input[0].type.tensor_type.elem_type = TensorProto.BFLOAT16
        with pytest.raises(UnsupportedOperator, match="BFLOAT16"):
            import_model(proto)

    def test_check_lists_what_import_raises(self) -> None:
        proto = model([helper.make_node("Sin", ["x"], ["y"], name="n")], {"x": ["batch", 2]}, ["y"])
        assert [(entry.code, entry.severity) for entry in check_model(proto)] == [
            ("SNC0131", "note"),
            ("SNC0101", "error"),
        ]


class TestMalformedGraph:
    @pytest.mark.parametrize(
        ("nodes", "outputs", "message"),
        [
            ([("Relu", ["nope"], ["y"])], ["y"], "made by no node"),
            ([("Relu", ["a"], ["y"]), ("Relu", ["x"], ["a"])], ["y"], "made by a later node"),
            ([("Add", ["x", "b"], ["a"]), ("Relu", ["a"], ["b"])], ["b"], "made by a later node"),
            ([("Relu", ["x"], ["y"]), ("Abs", ["x"], ["y"])], ["y"], "already made"),
            ([("Relu", ["x"], ["x"])], ["x"], "already made"),
            ([("Relu", ["x"], ["y"])], ["z"], "made by no node"),
            ([("Relu", ["x"], ["y"])], [], "no output"),
            ([("Add", ["x", ""], ["y"])], ["y"], "input 1 .B. of Add is missing"),
        ],
    )
    def test_is_reported(self, nodes: list[tuple[str, list[str], list[str]]], outputs: list[str], message: str) -> None:
        proto = model([helper.make_node(*node) for node in nodes], {"x": [2]}, outputs)
        with pytest.raises(ModelError, match=message):
            import_model(proto)

    def test_data_that_do_not_fill_a_tensor_are_reported(self) -> None:
        proto = model([helper.make_node("Add", ["x", "w"], ["y"])], {"x": [2]}, ["y"], {"w": normal(0, 2)})
        proto.graph.initializer[0].dims[0] = 3
        with pytest.raises(ModelError, match=r"8 bytes for shape \[3\] of f32, expected 12"):
            import_model(proto)

    def test_a_wrong_output_type_is_reported(self) -> None:
        with pytest.raises(ModelError, match="another type than the model declares"):
            import_model(text("g (float[2] x) => (int64[2] y) { y = Relu(x) }"))

    def test_constants_are_bounded(self) -> None:
        shape = np.array([1 << 20, 1 << 20], np.int64)
        nodes = [
            helper.make_node("Expand", ["one", "s"], ["huge"]),
            helper.make_node("Reshape", ["x", "huge"], ["y"]),
        ]
        with pytest.raises(ModelError, match="too large"):
            import_model(model(nodes, {"x": [1]}, ["y"], {"s": shape, "one": np.ones(1, np.int64)}))
        shape = np.array([1 << 15, 1 << 15], np.int64)
        with pytest.raises(LimitExceeded):
            import_model(model(nodes, {"x": [1]}, ["y"], {"s": shape, "one": np.ones(1, np.int64)}))


class TestShapes:
    BODY = "g (float[N, 3, H, W] x) => (float[a, b, c, d] y) { y = Relu(x) }"

    def test_free_sizes_are_refused_with_the_flag_to_add(self) -> None:
        with pytest.raises(ModelError, match=r"add --shape x=1,3,H,W, with numbers"):
            import_model(text(self.BODY))

    def test_every_input_with_free_sizes_is_listed(self) -> None:
        proto = model([helper.make_node("Add", ["p", "q"], ["y"])], {"p": [1, "n"], "q": ["n"], "r": [1, "m"]}, ["y"])
        with pytest.raises(ModelError) as error:
            import_model(proto)
        assert codes(error) == [("SNC0130", "p"), ("SNC0130", "r")]

    def test_given_sizes_are_taken(self) -> None:
        module = import_model(text(self.BODY), shapes={"x": (2, 3, 8, 9)})
        assert module.main.body.arguments[0].shape == (2, 3, 8, 9)

    def test_a_size_of_one_input_binds_its_name_in_others(self) -> None:
        proto = model([helper.make_node("Add", ["p", "q"], ["y"])], {"p": ["n", 4], "q": [1, "n"]}, ["y"])
        module = import_model(proto, shapes={"p": (4, 4)})
        assert [argument.shape for argument in module.main.body.arguments] == [(4, 4), (1, 4)]

    def test_a_lone_free_batch_is_one_with_a_note(self) -> None:
        warnings: list[Diagnostic] = []
        module = import_model(text("g (float[N, 3] x) => (float[N, 3] y) { y = Relu(x) }"), warn=warnings.append)
        assert module.main.body.arguments[0].shape == (1, 3)
        assert [(entry.severity, entry.node) for entry in warnings] == [("note", "x")]

    @pytest.mark.parametrize(
        "shapes", [{"x": (1, 4, 8, 8)}, {"x": (1, 3, 8)}, {"x": (1, 3, 0, 8)}, {"z": (1,)}, {"x": (1, 3, -8, 8)}]
    )
    def test_shapes_that_contradict_the_model_are_refused(self, shapes: dict[str, tuple[int, ...]]) -> None:
        with pytest.raises(UsageError):
            import_model(text(self.BODY), shapes=shapes)

    def test_shape_arithmetic_is_evaluated(self) -> None:
        body = """g (float[2, 3, 4] x) => (float[a, b] y) <int64[1] zero = {0}, int64[1] minus = {-1}> {
            s = Shape(x)
            first = Gather(s, zero)
            target = Concat<axis = 0>(first, minus)
            y = Reshape(x, target)
        }"""
        assert import_model(text(body)).main.return_op.values[0].shape == (2, 12)


class TestInterface:
    def test_names_and_order_are_those_of_the_model(self) -> None:
        body = "g (float[2] p, float[2] q) => (float[2] s, float[2] d) { d = Sub(p, q) \n s = Add(p, q) }"
        main = import_model(text(body)).main
        assert (main.input_names, main.output_names) == (("p", "q"), ("s", "d"))
        found = run(text(body), [np.array([3, 4], np.float32), np.array([1, 1], np.float32)])
        assert [array.tolist() for array in found] == [[4, 5], [2, 3]]

    def test_inputs_and_constants_may_be_outputs(self) -> None:
        proto = text("g (float[2] x) => (float[2] x, float[2] c) <float[2] c = {1, 2}> { y = Relu(x) }")
        x = normal(0, 2)
        np.testing.assert_array_equal(run(proto, [x]), [x, np.array([1, 2], np.float32)])

    def test_an_initializer_that_is_also_an_input_is_constant(self) -> None:
        proto = model([helper.make_node("Add", ["x", "w"], ["y"])], {"x": [2], "w": [2]}, ["y"], {"w": normal(0, 2)})
        assert import_model(proto).main.input_names == ("x",)
        np.testing.assert_array_equal(run(proto, [normal(1, 2)])[0], normal(1, 2) + normal(0, 2))

    def test_unused_initializers_are_left_out(self) -> None:
        proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": [2]}, ["y"], {"w": normal(0, 2)})
        assert not any(isinstance(op, ConstantOp) for op in import_model(proto).main.body.ops)

    def test_locations_and_hints_are_onnx_names(self) -> None:
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["/c/out.0"], name="/layer/Conv"),
            helper.make_node("Add", ["/c/out.0", "x"], ["1y"]),
        ]
        module = import_model(model(nodes, {"x": [1, 1, 2, 2]}, ["1y"], {"w": normal(0, 1, 1, 1, 1)}))
        found = {type(op): (op.location.names, op.results[0].hint) for op in module.main.body.ops if op.results}
        assert found[Conv2dOp] == (("/layer/Conv",), "c_out_0")
        assert found[AddOp] == (("Add:1y",), "v1y")
        assert hint_of("...") == ""

    def test_the_same_model_gives_the_same_text(self) -> None:
        proto = model(
            [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Softmax", ["h"], ["y"])],
            {"x": [1, 4]},
            ["y"],
            {"w": normal(0, 4, 3), "b": normal(1, 3)},
        )
        assert print_module(import_model(proto)) == print_module(import_model(proto))


def function(name: str, body: list[onnx.NodeProto]) -> onnx.FunctionProto:
    """A function of one tensor in the domain `own`."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["y"], body, imports)


class TestFunctions:
    def test_are_inlined(self) -> None:
        twice = function("Twice", [helper.make_node("Add", ["x", "x"], ["y"])])
        nested = function("Nested", [helper.make_node("Twice", ["x"], ["y"], domain="own")])
        proto = model([helper.make_node("Nested", ["x"], ["y"], domain="own")], {"x": [2]}, ["y"], domains={"own": 1})
        proto.functions.extend([twice, nested])
        x: Array = normal(0, 2)
        np.testing.assert_array_equal(run(proto, [x])[0], x + x)
        np.testing.assert_array_equal(oracle(proto, [x])[0], x + x)

    def test_a_circle_is_refused(self) -> None:
        proto = model([helper.make_node("F", ["x"], ["y"], domain="own")], {"x": [2]}, ["y"], domains={"own": 1})
        proto.functions.append(function("F", [helper.make_node("F", ["x"], ["y"], domain="own")]))
        with pytest.raises(ModelError, match="in a circle"):
            import_model(proto)

    def test_explosive_nesting_is_refused(self) -> None:
        proto = model([helper.make_node("F0", ["x"], ["y"], domain="own")], {"x": [2]}, ["y"], domains={"own": 1})
        for level in range(40):
            inner = f"F{level + 1}"
            body = [
                helper.make_node(inner, ["x"], ["m"], domain="own"),
                helper.make_node(inner, ["m"], ["y"], domain="own"),
            ]
            proto.functions.append(function(f"F{level}", body))
        proto.functions.append(function("F40", [helper.make_node("Relu", ["x"], ["y"])]))
        with pytest.raises(LimitExceeded, match="too many nodes"):
            import_model(proto)
