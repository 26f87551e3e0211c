"""Sums, differences and scales of values; normalisation; casts."""

from __future__ import annotations

import numpy as np

from ...ir.core import Operation
from ...ir.dialects import nn
from ...ir.types import FloatType
from .forms import Form, NotBinary, Step, Sum
from .reader import Reader, constant_weights


def affine(reader: Reader, op: Operation) -> Form:
    """add, sub, mul, div by a constant, sums and differences of two values."""
    if not isinstance(op.results[0].element, FloatType):
        return reader.function(op)
    assert isinstance(op, nn.Binary)
    left, right = (value in reader.forms for value in (op.lhs, op.rhs))
    if left and right:
        return _two_values(reader, op)
    x, constant = (op.lhs, op.rhs) if left else (op.rhs, op.lhs)
    form = reader.forms[x]
    if isinstance(form, Step) or x.shape != op.out.shape:
        return reader.function(op)
    number = reader.constant(constant, op.out.shape)
    with np.errstate(all="ignore"):
        match op:
            case nn.AddOp():
                scale, shift = np.ones(()), number
            case nn.SubOp():
                scale, shift = (np.ones(()), -number) if left else (-np.ones(()), number)
            case nn.MulOp():
                scale, shift = number, np.zeros(())
            case _:
                scale, shift = 1 / number, np.zeros(())
    if isinstance(op, nn.DivOp) and not left:
        return reader.function(op)
    if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
        raise NotBinary("a constant is NaN or infinite, or zero where it divides")
    return form.affine(scale, shift)


def _two_values(reader: Reader, op: nn.Binary) -> Form:
    """A sum or difference of two sums; any other function if one comparison or two maps decide."""
    for x, rest in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
        difference = rest.owner
        if isinstance(op, nn.AddOp) and isinstance(difference, nn.SubOp) and difference.rhs is x:
            # z + (step(z) - z), which a straight-through estimator leaves behind.
            return reader.form(difference.lhs)
    first, second = reader.forms[op.lhs], reader.forms[op.rhs]
    decided = isinstance(first, Step) and isinstance(second, Step) and first.comparison.equals(second.comparison)
    if decided or not isinstance(op, nn.AddOp | nn.SubOp):
        return reader.function(op)
    if op.lhs.shape != op.rhs.shape:
        raise NotBinary("spikes are broadcast")
    sums = reader.writer.as_sum(first), reader.writer.as_sum(second)
    return sums[0].plus(sums[1] if isinstance(op, nn.AddOp) else sums[1].affine(-1.0, 0.0))


def negative(reader: Reader, op: nn.NegOp) -> Form:
    """-x"""
    form = reader.forms[op.x]
    return reader.function(op) if isinstance(form, Step) else form.affine(-1.0, 0.0)


def cast(reader: Reader, op: nn.CastOp) -> Form:
    """A cast between floats keeps a sum; any other is a function."""
    form = reader.forms[op.x]
    if isinstance(form, Sum) and isinstance(op.to, FloatType) and isinstance(op.x.element, FloatType):
        return form
    return reader.function(op)


def batch_norm(reader: Reader, op: nn.BatchNormOp) -> Form:
    """x * factor + shift, channel by channel."""
    scale, bias, mean, variance = (
        constant_weights(op, value).reshape(-1, *[1] * (op.x.tensor.rank - 2)) for value in op.operands[1:]
    )
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + op.epsilon)
        shift = bias - mean * factor
    if not (np.isfinite(factor).all() and np.isfinite(shift).all()):
        raise NotBinary("a batch normalisation divides by zero")
    return reader.writer.as_sum(reader.forms[op.x]).affine(factor, shift)
