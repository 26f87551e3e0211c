"""An ONNX node as an importer function sees it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto

from ...ir.builder import Builder
from ...ir.core import Operation, Value
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.nn import CastOp
from ...ir.dialects.quant import UniformType
from ...ir.folding import ConstantFolder
from ...ir.location import Location
from ...ir.verifier import declared_problems
from .problems import NOT_CONSTANT, NodeProblem, malformed, unsupported
from .tensors import to_array

Array = NDArray[Any]
T = TypeVar("T")

MAX_VALUE_ELEMENTS = 1 << 31
"""No value of an imported program has more elements."""


class Node:
    """Inputs, attributes and opset of a node, and the place where its operations go.

    `opset` is the version of the node's domain that the model asks for.
    """

    def __init__(
        self,
        proto: onnx.NodeProto,
        opset: int,
        inputs: Sequence[Value | None],
        builder: Builder,
        folder: ConstantFolder,
        used_outputs: frozenset[str],
    ) -> None:
        self.proto, self.opset = proto, opset
        self._inputs = tuple(inputs)
        self._builder, self._folder = builder, folder
        self._used_outputs = used_outputs
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        self.location = Location((describe(proto),))

    @property
    def op_type(self) -> str:
        return self.proto.op_type

    # -- inputs --------------------------------------------------------------------------------------------------

    @property
    def input_count(self) -> int:
        """Inputs given, trailing empty ones left out."""
        return max((i + 1 for i, value in enumerate(self._inputs) if value is not None), default=0)

    def stored(self, index: int) -> Value:
        """Input `index` in any element type, quantised ones too."""
        value = self.optional_stored(index)
        if value is None:
            raise malformed(f"input {index} is missing")
        return value

    def optional_stored(self, index: int) -> Value | None:
        """Input `index` in any element type, or None when it is left out."""
        return self._inputs[index] if index < len(self._inputs) else None

    def input(self, index: int) -> Value:
        """Input `index` in the element type that ONNX gives it: a quantised one becomes its integers."""
        return self.plain(self.stored(index))

    def optional(self, index: int) -> Value | None:
        """Input `index` as `input` gives it, or None when it is left out."""
        value = self.optional_stored(index)
        return None if value is None else self.plain(value)

    def plain(self, value: Value) -> Value:
        """The value with builtin elements: the integers that a quantised tensor holds."""
        if isinstance(value.element, UniformType):
            return self.add(CastOp(x=value, to=value.element.storage))
        return value

    def every_stored(self) -> list[Value]:
        """All inputs of a variadic operator, in any element type; at least one."""
        return [self.stored(index) for index in range(max(1, self.input_count))]

    def constant(self, index: int, role: str) -> Array:
        """Input `index`, which must be known now."""
        return self.constant_of(self.stored(index), f"input {index} ({role})")

    def optional_constant(self, index: int, role: str) -> Array | None:
        """Input `index`, known now, or None when it is left out."""
        return None if self.optional_stored(index) is None else self.constant(index, role)

    def constant_of(self, value: Value, what: str) -> Array:
        """The constant that `value` is; refused when it depends on the model's inputs."""
        array = self.known(value)
        if array is None:
            raise NodeProblem(
                NOT_CONSTANT,
                f"{what} is not constant",
                found=f"a value computed at run time ({value.hint or value.type})",
                expected="a constant or an initializer",
            )
        return array

    def known(self, value: Value) -> Array | None:
        """The constant that `value` is, or None."""
        return self._folder.constant_value(value)

    def integers(self, index: int, role: str) -> tuple[int, ...]:
        """Input `index` as a list of integers known now."""
        array = self.constant(index, role)
        if array.dtype.kind not in "iu" or array.ndim > 1:
            raise malformed(f"input {index} ({role}) must be a list of integers", found=f"{array.dtype} {array.shape}")
        return tuple(int(entry) for entry in array.reshape(-1))

    def optional_integers(self, index: int, role: str) -> tuple[int, ...] | None:
        """Input `index` as a list of integers known now, or None when it is left out."""
        return None if self.optional_stored(index) is None else self.integers(index, role)

    # -- attributes ----------------------------------------------------------------------------------------------

    def attr_int(self, name: str, default: int | None = None) -> int:
        """An integer attribute; required when it has no default."""
        attribute = self._attribute(name, AttributeProto.INT)
        if attribute is not None:
            return int(attribute.i)
        return self._default(name, default)

    def attr_float(self, name: str, default: float | None = None) -> float:
        """A float attribute; required when it has no default."""
        attribute = self._attribute(name, AttributeProto.FLOAT)
        if attribute is not None:
            return float(np.float32(attribute.f))
        return self._default(name, default)

    def attr_str(self, name: str, default: str | None = None) -> str:
        """A string attribute; required when it has no default."""
        attribute = self._attribute(name, AttributeProto.STRING)
        if attribute is not None:
            return attribute.s.decode("utf-8", "replace")
        return self._default(name, default)

    def attr_ints(self, name: str) -> tuple[int, ...] | None:
        """A list of integers, or None when the attribute is left out."""
        attribute = self._attribute(name, AttributeProto.INTS)
        return tuple(map(int, attribute.ints)) if attribute is not None else None

    def attr_floats(self, name: str) -> tuple[float, ...] | None:
        """A list of floats, or None when the attribute is left out."""
        attribute = self._attribute(name, AttributeProto.FLOATS)
        return tuple(float(np.float32(entry)) for entry in attribute.floats) if attribute is not None else None

    def attr_tensor(self, name: str) -> Array | None:
        """An array, or None when the attribute is left out."""
        attribute = self._attribute(name, AttributeProto.TENSOR)
        if attribute is None:
            return None
        try:
            return to_array(attribute.t)
        except ValueError as error:
            raise malformed(f"the tensor of attribute {name} cannot be read: {error}") from None

    def has_attr(self, name: str) -> bool:
        """Whether the node has an attribute of this name."""
        return name in self._attributes

    def _attribute(self, name: str, kind: int) -> onnx.AttributeProto | None:
        attribute = self._attributes.get(name)
        if attribute is not None and attribute.type != kind:
            kinds = AttributeProto.AttributeType
            raise malformed(
                f"attribute {name} has the wrong type", found=kinds.Name(attribute.type), expected=kinds.Name(kind)
            )
        return attribute

    def _default(self, name: str, default: T | None) -> T:
        if default is None:
            raise malformed(f"attribute {name} is missing")
        return default

    # -- outputs and operations ----------------------------------------------------------------------------------

    @property
    def output_count(self) -> int:
        return len(self.proto.output)

    def wants(self, index: int) -> bool:
        """Whether somebody uses output `index`."""
        return index < len(self.proto.output) and self.proto.output[index] in self._used_outputs

    def refuse_outputs(self, first: int, reason: str) -> None:
        """Refuses the node when an output from `first` on is used."""
        for index in range(first, len(self.proto.output)):
            if self.wants(index):
                raise unsupported(f"output {index} ({self.proto.output[index]}) {reason}")

    def add(self, op: Operation) -> Value:
        """Inserts an operation with one result and returns the result; ValueError says that it breaks a rule."""
        problems = declared_problems(type(op), [value.type for value in op.operands], op.attributes, len(op.regions))
        if problems:
            raise unsupported("; ".join(problems))
        op.check()
        if math.prod(max(1, size) for size in op.result.shape) > MAX_VALUE_ELEMENTS:
            raise unsupported(
                "a value would be too large",
                found=str(op.result.type),
                expected=f"at most {MAX_VALUE_ELEMENTS} elements",
            )
        op.location = self.location
        return self._builder.insert(op).result

    def literal(self, array: Array) -> Value:
        """A constant."""
        return self.add(ConstantOp(value=array))

    def scalar(self, number: float, like: Value) -> Value:
        """A constant of rank 0 in the element type of `like`."""
        return self.literal(np.array(number, dtype=like.element.dtype))


def describe(proto: onnx.NodeProto) -> str:
    """The name of a node; `Conv:output` where it has none."""
    first = next((name for name in proto.output if name), "")
    return proto.name or f"{proto.op_type}:{first}"
