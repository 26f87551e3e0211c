"""A module of the graph dialect as an ONNX model: one spelling for everything, the same bytes for the same network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, ModuleOp, ReturnOp
from ...ir.location import Location

Array = NDArray[Any]
Attributes = dict[str, Any]

OPSET = 18
IR_VERSION = 8
BATCH = "N"


class _Writer:
    """Nodes and initialisers, with names that nobody else bears."""

    def __init__(self, constants: Mapping[Value, tuple[str, Array]]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._node_names: set[str] = set()
        self._taken = {name for name, _ in constants.values()}
        self._constants = constants
        self._names: dict[Value, str] = {}

    def name(self, value: Value) -> str:
        """The name of a value that is there; a constant becomes an initialiser."""
        if value in self._names:
            return self._names[value]
        assert isinstance(value.owner, ConstantOp)
        if value in self._constants:
            name, array = self._constants[value]
        else:
            name, array = self.free("constant"), value.owner.value
        self._names[value] = self.initializer(name, array)
        return name

    def initializer(self, name: str, array: Array) -> str:
        """Adds an array under a name that is free."""
        self._taken.add(name)
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def define(self, value: Value, wanted: str) -> str:
        """The name of a new value."""
        self._names[value] = name = self.free(wanted)
        self._taken.add(name)
        return name

    def free(self, wanted: str) -> str:
        """`wanted`, with a number where it is taken."""
        return _free(wanted, self._taken)

    def node(self, op_type: str, inputs: Sequence[str], output: str, location: Location, **attributes: Any) -> None:
        """Adds a node."""
        name = _free(location.names[0] if location.names else op_type, self._node_names)
        self._node_names.add(name)
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=name, **attributes))


def _free(wanted: str, taken: Collection[str]) -> str:
    """`wanted`, with a number where it is taken."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def write_onnx(
    module: ModuleOp,
    arrays: Mapping[str, Array],
    names: Mapping[Value, str],
    *,
    output: str,
    metadata: Mapping[str, str],
) -> onnx.ModelProto:
    """The model that computes `module`, for any batch, with `arrays` in the place of the constants of these names.

    `output` names its one output. Raises ValueError for an operation that training does not know.
    """
    main = module.main
    writer = _Writer({value: (name, arrays[name]) for value, name in names.items()})
    input_names = main.input_names or tuple(f"input{index}" for index, _ in enumerate(main.body.arguments))
    inputs = []
    for argument, wanted in zip(main.body.arguments, input_names, strict=True):
        name = writer.define(argument, wanted)
        inputs.append(helper.make_tensor_value_info(name, _element(argument), [BATCH, *argument.shape[1:]]))
    result = main.return_op.values[0]
    for op in main.body.ops:
        if isinstance(op, ConstantOp | ReturnOp):
            continue
        wanted = output if op.results and op.result is result else (op.result.hint or op.name.removeprefix("nn."))
        operands = [writer.name(value) for value in op.operands]
        _write(writer, op, operands, writer.define(op.result, wanted))
    outputs = [helper.make_tensor_value_info(writer.name(result), _element(result), [BATCH, *result.shape[1:]])]
    graph = helper.make_graph(writer.nodes, "sharpened", inputs, outputs, list(writer.initializers.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="snc")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model)
    return model


def _element(value: Value) -> int:
    return int(helper.np_dtype_to_tensor_dtype(value.element.dtype))


def _write(writer: _Writer, op: Operation, inputs: list[str], output: str) -> None:
    """The node of one operation."""
    match op:
        case nn.ReshapeOp():
            shape = writer.initializer(writer.free(f"{output}.shape"), np.array([0, *op.shape[1:]], np.int64))
            writer.node("Reshape", [*inputs, shape], output, op.location)
        case nn.SliceOp():
            _write_slice(writer, op, inputs, output)
        case nn.PadOp():
            widths = np.array([*op.before, *op.after], np.int64)
            pads = writer.initializer(writer.free(f"{output}.pads"), widths)
            value = writer.initializer(writer.free(f"{output}.value"), np.asarray(op.value, op.out.element.dtype))
            writer.node("Pad", [*inputs, pads, value], output, op.location)
        case nn.ReduceOp():
            axes = writer.initializer(writer.free(f"{output}.axes"), np.array(op.axes, np.int64))
            kind = {"mean": "ReduceMean", "sum": "ReduceSum", "max": "ReduceMax"}[op.kind]
            writer.node(kind, [*inputs, axes], output, op.location, keepdims=int(op.keep_dims))
        case _:
            if type(op) not in _NODES:
                raise ValueError(f"{op.name} has no place in a trained network")
            op_type, attributes = _NODES[type(op)]
            writer.node(op_type, inputs, output, op.location, **attributes(op))


def _write_slice(writer: _Writer, op: nn.SliceOp, inputs: list[str], output: str) -> None:
    axes = range(1, len(op.starts))
    rows = {
        "starts": [op.starts[axis] for axis in axes],
        "ends": [op.starts[axis] + op.counts[axis] * op.steps[axis] for axis in axes],
        "axes": list(axes),
        "steps": [op.steps[axis] for axis in axes],
    }
    names = [writer.initializer(writer.free(f"{output}.{word}"), np.array(row, np.int64)) for word, row in rows.items()]
    writer.node("Slice", [*inputs, *names], output, op.location)


def _window(op: Any) -> Attributes:
    return {"strides": list(op.strides), "pads": list(op.pads), "dilations": list(op.dilations)}


def _pool(op: Any) -> Attributes:
    return {**_window(op), "kernel_shape": list(op.kernel), "ceil_mode": int(op.ceil)}


def _average(op: Any) -> Attributes:
    attributes = {**_pool(op), "count_include_pad": int(op.count_pads)}
    del attributes["dilations"]  # opset 19 brought them; they are 1 here
    return attributes


def _none(op: Any) -> Attributes:
    return {}


_NODES: Mapping[type[Operation], tuple[str, Callable[[Any], Attributes]]] = {
    nn.Conv2dOp: ("Conv", lambda op: {**_window(op), "kernel_shape": list(op.weight.shape[2:]), "group": op.groups}),
    nn.MatMulOp: ("MatMul", _none),
    nn.AddOp: ("Add", _none),
    nn.SubOp: ("Sub", _none),
    nn.MulOp: ("Mul", _none),
    nn.DivOp: ("Div", _none),
    nn.BatchNormOp: ("BatchNormalization", lambda op: {"epsilon": op.epsilon}),
    nn.MaxPool2dOp: ("MaxPool", _pool),
    nn.AvgPool2dOp: ("AveragePool", _average),
    nn.TransposeOp: ("Transpose", lambda op: {"perm": list(op.permutation)}),
    nn.ConcatOp: ("Concat", lambda op: {"axis": op.axis}),
    nn.CompareOp: ("GreaterOrEqual", _none),
    nn.CastOp: ("Cast", lambda op: {"to": TensorProto.FLOAT}),
    nn.SoftmaxOp: ("Softmax", lambda op: {"axis": op.axis}),
}
