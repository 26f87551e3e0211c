"""Finds the form of every value, operation by operation."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp
from ...ir.dialects.spiking import EncodeOp
from ...ir.location import Location
from ...ir.types import F32, FloatType
from .forms import Comparison, Form, NotBinary, Step, Sum
from .soft import soft_step
from .writing import Writer

Array = NDArray[Any]


class Reader:
    """What is known of the values so far, and what the rules for operations (see rules.py) ask about them.

    `forms` holds the values that depend on the input; any other is a constant.
    """

    def __init__(self, writer: Writer, soft_level: float | None) -> None:
        self.writer = writer
        self.soft_level = soft_level
        self.forms: dict[Value, Form] = {}
        self.softened: list[Operation] = []
        self.inputs: dict[Value, Value] = {}
        """The argument behind each map of an encoder that has the default threshold."""

    def form(self, value: Value) -> Form:
        """The form of an operand; constants are sums without terms."""
        if isinstance(value.owner, ConstantOp):
            shape = value.shape[1:]
            constant = np.broadcast_to(value.owner.value.astype(np.float64), value.shape)
            if value.tensor.rank < 2 or value.shape[0] != 1:
                raise NotBinary("a constant stands where the batch stands")
            return Sum(shape, {}, constant[0], shape)
        return self.forms[value]

    def constant(self, value: Value, shape: tuple[int, ...]) -> Array:
        """A constant operand broadcast to a result of `shape` (with the batch), without the batch, in f64."""
        assert isinstance(value.owner, ConstantOp)
        array = value.owner.value
        if array.ndim == len(shape) and array.shape[0] != 1:
            if shape[0] != 1 and not bool((array == array[:1]).all()):
                raise NotBinary("a constant differs along the batch")
            array = array[:1]
        return np.broadcast_to(array.astype(np.float64), (1, *shape[1:]))[0]

    def encode(self, argument: Value, anchor: Operation, threshold: float, bits: int) -> Sum:
        """An input as spikes: x >= threshold, or the bits of x by their worth."""
        x = argument
        if not isinstance(argument.element, FloatType):
            x = self.writer.insert(anchor, nn.CastOp(x=argument, to=F32))
        label = argument.hint or "input"
        place = Location((label,))
        coded = self.writer.insert(anchor, EncodeOp(x=x, threshold=threshold, bits=bits, label=label), place)
        spikes = self.writer.insert(anchor, nn.CastOp(x=coded, to=F32), place)
        if bits == 1:
            self.inputs[spikes] = argument
            return Sum.of_map(spikes)
        rest = spikes.shape[2:]
        total = Sum(argument.shape[1:], {}, np.zeros(argument.shape[1:]), argument.shape[1:])
        for bit in range(bits):
            start, step = (0, bit, *[0] * len(rest)), (1, bits, *[1] * len(rest))
            plane = self.writer.insert(anchor, nn.SliceOp(x=spikes, starts=start, counts=argument.shape, steps=step))
            total = total.plus(Sum.of_map(plane, 0.0, 2.0 ** -(bit + 1)))
        return total

    def function(self, op: Operation) -> Form:
        """A function, element by element, of one comparison or of one or two 0/1 maps: its value at each of theirs."""
        if not isinstance(op, nn.Unary | nn.Binary | nn.CompareOp | nn.LogicalOp | nn.SelectOp | nn.PowOp | nn.PReluOp):
            raise NotBinary(f"{op.name} has no spiking form")
        free = [value for value in op.operands if value in self.forms]
        if any(value.shape != op.result.shape for value in free):
            raise NotBinary("spikes are broadcast")
        steps = [form for value in free if isinstance(form := self.forms[value], Step)]
        if len(steps) == len(free) and all(step.comparison.equals(steps[0].comparison) for step in steps):
            below, at, above = (
                self._apply(op, {value: step.values[i] for value, step in zip(free, steps, strict=True)})
                for i in range(3)
            )
            return Step(steps[0].comparison, (below, at, above))
        sums = {value: self.writer.as_sum(self.forms[value]) for value in free}
        maps = list(dict.fromkeys(form.map for form in sums.values()))
        if None in maps or len(maps) > 2:
            return self._soft(op)
        # The result for every combination of no spike and spike.
        table = [
            self._apply(op, {value: form.level(dict(zip(maps, bits, strict=True))) for value, form in sums.items()})
            for bits in itertools.product((False, True), repeat=len(maps))
        ]
        if len(maps) == 1:
            return Sum.of_map(map_of(maps[0]), table[0], table[1])
        return _of_two(op, map_of(maps[0]), map_of(maps[1]), table)

    def _apply(self, op: Operation, given: Mapping[Value, Array]) -> Array:
        """The value of `op` for these values of its operands, one sample."""
        operands = []
        for value in op.operands:
            if value in given:
                operands.append(given[value][None].astype(value.element.dtype))
            else:
                assert isinstance(value.owner, ConstantOp)
                operands.append(value.owner.value)
        result = op.fold(operands)
        if result is None:
            raise NotBinary(f"{op.name} has no spiking form")
        with np.errstate(all="ignore"):
            wide = np.asarray(result, np.float64)
        if wide.shape != (1, *op.result.shape[1:]) or not np.isfinite(wide).all():
            raise NotBinary(f"{op.name} gives numbers that are not finite, or differ along the batch")
        return wide[0]

    def _soft(self, op: Operation) -> Form:
        """An activation that is no step, or the step that was asked for in its place."""
        step = soft_step(op, self.soft_level)
        self.softened.append(op)
        form = self.writer.as_sum(self.forms[op.operands[0]])
        return compared(form, step, op, (0, 1, 1))

    def unweighted(self, op: Operation, value: Value) -> Sum:
        """The form of an operand that is to be weighted: a sum of maps; raises NotBinary for one with weights."""
        form = self.writer.as_sum(self.forms[value])
        if not form.unweighted:
            raise NotBinary(
                f"{op.name} works on a weighted sum",
                expected="a step between two layers of weights",
                help="sharpen every activation of the network; layers without one between them can be multiplied out",
            )
        return form

    def check_operands(self, op: Operation) -> None:
        """Raises NotBinary when an operand is neither known nor constant."""
        for value in op.operands:
            if value not in self.forms and not isinstance(value.owner, ConstantOp):
                raise NotBinary(f"{op.name} mixes spikes with values of the host")


def compared(form: Sum, threshold: Array | float, op: Operation, values: tuple[float, float, float]) -> Step:
    """The step with these values where `form` lies below, at and above the threshold, at the place of `op`."""
    below, at, above = (np.full(form.shape, float(value)) for value in values)
    return Step(Comparison(form, np.broadcast_to(threshold, form.shape), op), (below, at, above))


def _of_two(op: Operation, first: Value, second: Value, table: Sequence[Array]) -> Step:
    """A function of two maps with these values for 00, 01, 10 and 11, as a neuron that both maps excite or inhibit.

    Raises NotBinary where it has more than two values, differs between elements, or is an exclusive or.
    """
    low, high = np.minimum.reduce(table), np.maximum.reduce(table)
    wanted = [bool((value == high).all()) for value in table]
    uniform = all(one or bool((value == low).all()) for one, value in zip(wanted, table, strict=True))
    for weights in itertools.product((1, 0, -1), repeat=2):
        for threshold in (2, 1, 0):
            sums = [a * weights[0] + b * weights[1] for a, b in itertools.product((0, 1), repeat=2)]
            if uniform and any(weights) and [total >= threshold for total in sums] == wanted:
                shape = low.shape
                terms: dict[Any, Array] = {
                    spikes: np.full(shape, float(weight))
                    for spikes, weight in ((first, weights[0]), (second, weights[1]))
                }
                step = compared(Sum(shape, terms, np.zeros(shape), shape), float(threshold), op, (0, 1, 1))
                return Step(step.comparison, (low, high, high))
    raise NotBinary(f"{op.name} of two maps is no threshold of their sum")


def is_constant(value: Value) -> bool:
    """Whether a value is known."""
    return isinstance(value.owner, ConstantOp)


def constant_weights(op: Operation, value: Value) -> Array:
    """A constant operand in f64; raises NotBinary when it is none or holds NaN or infinities."""
    if not isinstance(value.owner, ConstantOp):
        raise NotBinary(f"the weights of {op.name} are no constants")
    array = value.owner.value.astype(np.float64)
    if not np.isfinite(array).all():
        raise NotBinary("a weight is NaN or infinite")
    return array


def map_of(term: object) -> Value:
    """A term of an unweighted sum."""
    assert isinstance(term, Value)
    return term
