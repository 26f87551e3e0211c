"""Whatever is done to a graph, it is imported or refused with diagnostics; what was imported runs."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, numpy_helper

from snc.compiler.onnx.importer import import_model
from snc.ir.diagnostics import SncError
from snc.ir.dialects import default_context
from snc.ir.verifier import verify
from snc.runtime.interpreter.evaluate import evaluate

from .graphs import single
from .test_operators import ALL

NUMBERS = (-1, 0, 1, 2, 7, -100, 10**6, 2**31, 2**62, -(2**63))
WORDS = (b"", b"none", b"SAME_UPPER", b"edge", b"reflect", b"linear", b"\xff")
NAMES = ("axis", "axes", "pads", "mode", "value", "group", "kernel_shape", "p")
RUN_AT_MOST = 1 << 20
"""Elements of all values of a program that is still worth running."""

Change = Callable[[onnx.ModelProto, random.Random], None]


def change_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    for attribute in model.graph.node[0].attribute:
        match attribute.type:
            case AttributeProto.INT:
                attribute.i = rng.choice(NUMBERS)
            case AttributeProto.INTS:
                attribute.ints[:] = [*attribute.ints[1:], rng.choice(NUMBERS)][: rng.randint(0, 9)]
            case AttributeProto.FLOAT:
                attribute.f = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e30))
            case AttributeProto.STRING:
                attribute.s = rng.choice(WORDS)
            case AttributeProto.FLOATS:
                attribute.floats[:] = [*attribute.floats[1:], rng.choice((0.0, -1.0, float("nan"), 1e30))]


def drop_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    attributes = model.graph.node[0].attribute
    if attributes:
        del attributes[rng.randrange(len(attributes))]


def add_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    added = model.graph.node[0].attribute.add()
    added.name, added.type = rng.choice(NAMES), rng.choice((1, 2, 3, 4, 6, 7))


def change_inputs(model: onnx.ModelProto, rng: random.Random) -> None:
    inputs = model.graph.node[0].input
    inputs[rng.randrange(len(inputs))] = rng.choice(("", "nothing", inputs[0]))


def drop_input(model: onnx.ModelProto, rng: random.Random) -> None:
    inputs = model.graph.node[0].input
    del inputs[rng.randrange(len(inputs))]


def change_shape(model: onnx.ModelProto, rng: random.Random) -> None:
    for value in model.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims and rng.random() < 0.7:
            dims[rng.randrange(len(dims))].dim_value = rng.choice((0, 1, 2, 9, 2**40, -1))
        else:
            dims.add().dim_value = rng.choice((1, 3))


def change_type(model: onnx.ModelProto, rng: random.Random) -> None:
    for value in model.graph.input:
        value.type.tensor_type.elem_type = rng.randrange(30)


def change_constant(model: onnx.ModelProto, rng: random.Random) -> None:
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor).copy()
        if array.size and array.dtype.kind in "iuf":
            array.reshape(-1)[rng.randrange(array.size)] = rng.choice((0, 1, 5, -1, 100, 2**30))
            array = array.reshape(-1)[: rng.randint(1, array.size)] if rng.random() < 0.4 else array
            array = array.astype(rng.choice((np.float32, np.int64, np.float16))) if rng.random() < 0.3 else array
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


CHANGES: tuple[Change, ...] = (
    *(change_attribute, drop_attribute, add_attribute, change_inputs, drop_input),
    *(change_shape, change_type, change_constant),
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
class TestChangedGraphs:
    @pytest.mark.parametrize("seed", range(6))
    def test_are_refused_or_run(self, seed: int) -> None:
        rng = random.Random(seed)
        outcomes: Counter[str] = Counter()
        for form in ALL:
            model, _ = single(form.op_type, form.inputs, opset=form.opset, outputs=form.outputs, **form.attributes)
            for change in rng.sample(CHANGES, rng.randint(1, 3)):
                if model.graph.node[0].input:
                    change(model, rng)
            try:
                module = import_model(model)
            except SncError as error:
                assert error.diagnostics
                outcomes["refused"] += 1
                continue
            verify(module, default_context())
            main = module.main
            if sum(result.tensor.size for op in main.body.ops for result in op.results) <= RUN_AT_MOST:
                arrays = [np.ones(value.shape, value.element.dtype) for value in main.body.arguments]
                evaluate(module, arrays)
                outcomes["run"] += 1
        assert min(outcomes["run"], outcomes["refused"]) > len(ALL) // 10
