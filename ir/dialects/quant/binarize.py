"""The step of a network with binary activations."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ...core import Operation, Value
from ...spec import DENSE, INT, attribute, operands, result
from ...traits import Trait
from ...types import F32, I32, U8, Type
from .types import PURE, Array, UniformType

SPIKE = UniformType(U8, 1.0, 0)
"""A map of zeros and ones in the fixed-point stage."""


class BinarizeOp(Operation):
    """y = 1 where sum of terms + bias >= threshold, else 0; all terms have one shape [N, ...].

    Terms of f32 with `bias` and `threshold` of f64 give f32. Terms of i32 with `bias` and `threshold` of i32, all on
    one grid of 2^-fraction, give `!quant.uniform<ui8:f32, 1.0:0>`; their sums do not leave 32 bits. Bias and threshold
    broadcast to the shape behind the batch. A strict comparison z > c is z >= the next number behind c.
    """

    name: ClassVar[str] = "quant.binarize"
    traits: ClassVar[frozenset[Trait]] = PURE
    terms: tuple[Value, ...] = operands()
    bias: Array = attribute(DENSE)
    threshold: Array = attribute(DENSE)
    fraction: int | None = attribute(INT, default=None)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        kinds = {value.type for value in self.terms}
        if len(kinds) != 1 or self.terms[0].element not in (F32, I32) or self.terms[0].tensor.rank < 2:
            raise ValueError(f"expected terms of one shape [N, ...], f32 or i32, found {sorted(map(str, kinds))}")
        integers = self.terms[0].element == I32
        return (self.terms[0].tensor.with_element(SPIKE if integers else F32),)

    def check(self) -> None:
        integers = self.terms[0].element == I32
        shape = self.out.shape[1:]
        for name, numbers in (("bias", self.bias), ("threshold", self.threshold)):
            if numbers.dtype != (np.int32 if integers else np.float64):
                raise ValueError(f"{name} of {numbers.dtype} does not go with {self.terms[0].type}")
            if np.broadcast_shapes(numbers.shape, shape) != shape:
                raise ValueError(f"{name} {numbers.shape} does not broadcast to {shape}")
        if integers != (self.fraction is not None):
            raise ValueError("terms of integers, and only they, have a fraction")


BINARIZE_OPS: tuple[type[Operation], ...] = (BinarizeOp,)
