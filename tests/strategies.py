"""Hypothesis strategies for IR: small, valid by construction, arrays drawn from a seed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from snc.ir.attributes import (
    ArrayAttr,
    Attribute,
    BoolAttr,
    DenseAttr,
    DictAttr,
    FloatAttr,
    IntAttr,
    StringAttr,
    SymbolAttr,
)
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.quant import UniformType
from snc.ir.location import Location
from snc.ir.types import (
    F16,
    F32,
    F64,
    I1,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    ElementType,
    FunctionType,
    TensorType,
    Type,
)

from .random_graphs import Graph
from .random_nets import Net
from .random_step_nets import StepNet

PLAIN_ELEMENTS: tuple[ElementType, ...] = (I1, I8, I16, I32, I64, U8, U16, F16, F32, F64)
SEEDS = st.integers(0, 2**32 - 1)


def names() -> st.SearchStrategy[str]:
    """What a model may call its nodes: any characters, control characters and lone surrogates too."""
    return st.text(st.characters(codec=None), max_size=8)


def shapes(*, max_rank: int = 4, min_size: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(min_size, 5), max_size=max_rank).map(tuple)


def element_types() -> st.SearchStrategy[ElementType]:
    """Builtin and quantised element types."""
    uniform = st.builds(
        UniformType,
        st.sampled_from((I8, U8, I16)),
        st.floats(sys.float_info.min, sys.float_info.max),
        st.integers(0, 127),
    )
    return st.sampled_from(PLAIN_ELEMENTS) | uniform


def types() -> st.SearchStrategy[Type]:
    """Element types, tensors and functions on tensors."""
    tensors = st.builds(TensorType, shapes(), element_types())
    several = st.lists(tensors, max_size=3).map(tuple)
    return element_types() | tensors | st.builds(FunctionType, several, several)


@st.composite
def arrays(draw: st.DrawFn, *, max_rank: int = 4) -> NDArray[Any]:
    """Arrays of any plain element type and any bits: NaNs, infinities, repeated values, no elements."""
    dtype = draw(st.sampled_from(PLAIN_ELEMENTS)).dtype
    shape = draw(shapes(max_rank=max_rank))
    rng = np.random.default_rng(draw(SEEDS))
    match draw(st.sampled_from(("bits", "repeated", "small"))):
        case "repeated":
            return np.full(shape, rng.integers(0, 2), dtype)
        case "small":
            return np.asarray(rng.integers(0, 100, shape) / 8).astype(dtype)
        case _:
            count = int(np.prod(shape, dtype=np.int64))
            if dtype.kind == "b":
                return rng.integers(0, 2, shape).astype(bool)
            return np.frombuffer(rng.bytes(count * dtype.itemsize), dtype).reshape(shape)


TABLE = np.dtype([("memory", "<u2"), ("kind", "u1"), ("address", "<u4")])


@st.composite
def tables(draw: st.DrawFn) -> NDArray[Any]:
    """Structured arrays, as schedules hold them."""
    rows = draw(st.integers(0, 5))
    return np.frombuffer(np.random.default_rng(draw(SEEDS)).bytes(rows * TABLE.itemsize), TABLE)


def attributes() -> st.SearchStrategy[Attribute]:
    """Attributes of every kind, nested."""
    leaves = (
        st.builds(IntAttr, st.integers(-(2**70), 2**70))
        | st.builds(FloatAttr, st.floats())
        | st.builds(BoolAttr, st.booleans())
        | st.builds(StringAttr, names())
        | st.builds(SymbolAttr, names())
        | st.builds(DenseAttr, arrays() | tables())
        | types()
    )

    def containers(inner: st.SearchStrategy[Attribute]) -> st.SearchStrategy[Attribute]:
        lists = st.lists(inner, max_size=4).map(tuple)
        pairs = st.dictionaries(names(), inner, max_size=3).map(lambda entries: tuple(entries.items()))
        return st.builds(ArrayAttr, lists) | st.builds(DictAttr, pairs)

    return st.recursive(leaves, containers, max_leaves=6)


def locations() -> st.SearchStrategy[Location]:
    """Locations of no, one or several ONNX nodes."""
    return st.lists(names(), max_size=3).map(tuple).map(Location)


@st.composite
def nn_modules(draw: st.DrawFn, *, max_layers: int = 3) -> ModuleOp:
    """Convolutional networks that can be quantised.

    One float input [1, C, H, W], constant weights of sane scale; layers are convolutions (grouped, depthwise, strided,
    dilated, padded unevenly), batch normalisation on either side of them, activations, pooling, residual additions and
    concatenated branches; maybe global pooling, a fully connected head and softmax. Channels <= 8, sizes <= 9.
    """
    net = Net(draw)
    for _ in range(draw(st.integers(1, max_layers))):
        net.layer()
    net.head()
    return net.module()


@st.composite
def step_modules(draw: st.DrawFn, *, max_layers: int = 3) -> ModuleOp:
    """Networks of binary activations, from one input [1, F] or [1, C, H, W] of zeros and ones.

    Dense, convolutional (grouped, strided, dilated, padded, in NHWC), pooled before or behind the step, residual and
    concatenated layers; steps in the spellings of exporters, of any two levels, with thresholds for each channel; maybe
    votes and softmax behind them. All sums are exact in 32 bits. Channels <= 7, sizes <= 10.
    """
    net = StepNet(draw)
    for _ in range(draw(st.integers(1, max_layers))):
        net.layer()
    net.head()
    return net.module()


@st.composite
def any_nn_modules(draw: st.DrawFn, *, max_ops: int = 8) -> ModuleOp:
    """Graphs of elementwise operations, reductions, data movement and integer arithmetic on shapes.

    Values fan out, some are unused, constants feed each other, and there are one to three outputs.
    """
    graph = Graph(draw)
    for _ in range(draw(st.integers(1, max_ops))):
        graph.operation()
    return graph.module()


def modules() -> st.SearchStrategy[ModuleOp]:
    """Any module of the graph dialect."""
    return nn_modules() | any_nn_modules()
