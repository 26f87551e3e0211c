"""Whether a tensor of a model file holds what its shape and element type say."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto

from .limits import MAX_AXES, MAX_ELEMENTS, MAX_GRAPH_DEPTH, printable

_BITS = {
    32: ("FLOAT", "INT32", "UINT32"),
    64: ("DOUBLE", "INT64", "UINT64", "COMPLEX64"),
    128: ("COMPLEX128",),
    16: ("FLOAT16", "BFLOAT16", "INT16", "UINT16"),
    8: ("INT8", "UINT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ", "FLOAT8E8M0"),
    4: ("INT4", "UINT4", "FLOAT4E2M1"),
    2: ("INT2", "UINT2"),
}
_ELEMENT_BITS = {
    TensorProto.DataType.Value(name): bits
    for bits, names in _BITS.items()
    for name in names
    if name in TensorProto.DataType.keys()  # noqa: SIM118 (an enum wrapper, not a mapping)
}
_FIELD_OF = {
    TensorProto.FLOAT: "float_data",
    TensorProto.COMPLEX64: "float_data",
    TensorProto.DOUBLE: "double_data",
    TensorProto.COMPLEX128: "double_data",
    TensorProto.INT64: "int64_data",
    TensorProto.UINT32: "uint64_data",
    TensorProto.UINT64: "uint64_data",
    TensorProto.STRING: "string_data",
}
"""The typed field of each element type; all others stand in int32_data."""
_TYPED_FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


class TensorError(ValueError):
    """A tensor that is malformed; the text says how."""


class DepthError(ValueError):
    """Graphs inside graphs, too deep."""


@frozen
class HeldTensor:
    """A tensor of the file: its name for messages, and whether a node or an output of the graph uses it."""

    name: str
    tensor: Any
    used: bool


@frozen
class CheckedTensor:
    """What a check found: bytes of raw data, and what is bad about the values, or an empty text."""

    name: str
    used: bool
    raw_bytes: int
    bad: str


def expected_bytes(tensor: Any) -> int:
    """Bytes of the tensor's raw data by shape and element type, sub-byte elements packed; raises TensorError."""
    if tensor.data_type not in _ELEMENT_BITS:
        raise TensorError(f"element type {_type_name(tensor.data_type)}, which has no raw data or is unknown")
    return -(-_elements(tensor) * _ELEMENT_BITS[tensor.data_type] // 8)


def check_tensor(held: HeldTensor) -> CheckedTensor:
    """Raises TensorError unless a tensor without external data has exactly the values that its shape asks for."""
    tensor = held.tensor
    count = _elements(tensor)
    filled = [name for name in _TYPED_FIELDS if len(getattr(tensor, name))]
    if tensor.HasField("segment"):
        raise TensorError("a part of a tensor")
    if tensor.HasField("raw_data"):
        if filled:
            raise TensorError(f"raw data beside {', '.join(filled)}")
        raw = tensor.raw_data  # a copy each time it is asked for
        if len(raw) != expected_bytes(tensor):
            raise TensorError(f"{len(raw)} bytes of data where its shape needs {expected_bytes(tensor)}")
        return CheckedTensor(held.name, held.used, len(raw), _bad_values(tensor, raw))
    name = _FIELD_OF.get(tensor.data_type, "int32_data")
    if tensor.data_type != TensorProto.STRING and tensor.data_type not in _ELEMENT_BITS:
        raise TensorError(f"the unknown element type {_type_name(tensor.data_type)}")
    if filled and filled != [name]:
        raise TensorError(f"values in {', '.join(filled)} where its element type needs {name}")
    if len(getattr(tensor, name)) != _typed_values(tensor.data_type, count):
        found, expected = len(getattr(tensor, name)), _typed_values(tensor.data_type, count)
        raise TensorError(f"{found} values where its shape needs {expected}")
    return CheckedTensor(held.name, held.used, 0, _bad_values(tensor, None))


def graphs(graph: GraphProto, depth: int = 1) -> Iterator[GraphProto]:
    """A graph and the graphs inside its nodes; raises DepthError."""
    if depth > MAX_GRAPH_DEPTH:
        raise DepthError(f"more than {MAX_GRAPH_DEPTH} graphs inside each other")
    yield graph
    yield from inner_graphs(graph.node, depth)


def inner_graphs(nodes: Any, depth: int = 0) -> Iterator[GraphProto]:
    """The graphs inside nodes, at any depth; raises DepthError."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g, depth + 1)
            for graph in attribute.graphs:
                yield from graphs(graph, depth + 1)


def graph_tensors(graph: GraphProto) -> Iterator[HeldTensor]:
    """The tensors of one graph, without the graphs inside: initializers first, in order."""
    used = {name for inner in graphs(graph) for node in inner.node for name in node.input}
    used.update(each.name for each in graph.output)
    for tensor in graph.initializer:
        name = printable(tensor.name) or "an initializer without a name"
        yield HeldTensor(name, tensor, tensor.name in used)
    for sparse in graph.sparse_initializer:
        for part in (sparse.values, sparse.indices):
            yield HeldTensor(printable(sparse.values.name), part, sparse.values.name in used)
    yield from node_tensors(graph.node)


def node_tensors(nodes: Any) -> Iterator[HeldTensor]:
    """The tensors in the attributes of nodes."""
    for node in nodes:
        for attribute in node.attribute:
            for tensor in _attribute_tensors(attribute):
                yield HeldTensor(_place(node, attribute), tensor, used=True)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
    for each in [*sparse, *attribute.sparse_tensors]:
        yield each.values
        yield each.indices


def _place(node: NodeProto, attribute: AttributeProto) -> str:
    own = node.name or (node.output[0] if node.output else node.op_type)
    return printable(f"{own}.{attribute.name}")


def _elements(tensor: Any) -> int:
    dims = list(tensor.dims)
    if len(dims) > MAX_AXES or any(dim < 0 for dim in dims):
        raise TensorError(f"an impossible shape {dims[:8]}{' ...' if len(dims) > 8 else ''}")
    # An axis of 0 must not hide others that no array can have.
    if math.prod(max(dim, 1) for dim in dims) > MAX_ELEMENTS:
        raise TensorError(f"a shape {dims[:8]} of more than {MAX_ELEMENTS} elements")
    return math.prod(dims)


def _typed_values(data_type: int, count: int) -> int:
    """Entries in the typed field: two for a complex number, one for the small elements that fill 8 bits."""
    if data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        return 2 * count
    bits = _ELEMENT_BITS.get(data_type, 8)
    return count if bits >= 8 else -(-count * bits // 8)


def _bad_values(tensor: Any, raw: bytes | None) -> str:
    """What makes a float tensor unusable, or an empty text.

    A NaN anywhere does; an infinity does in a tensor of several elements. A single infinity is a bound that exporters
    write, as in Clip, and no weight.
    """
    values = _float_values(tensor, raw)
    if values is None or np.isfinite(values).all():
        return ""
    nans, infinities = int(np.isnan(values).sum()), int(np.isinf(values).sum())
    if nans:
        return f"{nans} of {values.size} values are NaN"
    return f"{infinities} of {values.size} values are infinite" if values.size > 1 else ""


def _float_values(tensor: Any, raw: bytes | None) -> npt.NDArray[Any] | None:
    """The values of FLOAT, DOUBLE, FLOAT16 and BFLOAT16 tensors, without raw data from their typed field."""
    match tensor.data_type:
        case TensorProto.FLOAT:
            return np.array(tensor.float_data, "<f4") if raw is None else np.frombuffer(raw, "<f4")
        case TensorProto.DOUBLE:
            return np.array(tensor.double_data, "<f8") if raw is None else np.frombuffer(raw, "<f8")
        case TensorProto.FLOAT16:
            return _words(tensor, raw).view("<f2")
        case TensorProto.BFLOAT16:
            # A bfloat16 is the upper half of a float.
            return (_words(tensor, raw).astype("<u4") << 16).view("<f4")
    return None


def _words(tensor: Any, raw: bytes | None) -> npt.NDArray[np.uint16]:
    """The 16 bit patterns of a tensor of half precision."""
    return np.array(tensor.int32_data, "<i4").astype("<u2") if raw is None else np.frombuffer(raw, "<u2")


def _type_name(data_type: int) -> str:
    names = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(data_type, str(data_type))
