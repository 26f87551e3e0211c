"""What the values of a network with binary activations are: sums of weighted 0/1 maps, and steps of such sums.

Arrays have no batch axis, and are f64: products and sums of f32 weights and scales are rounded once, in the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from ...ir.attributes import Attribute
from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic
from ...ir.dialects.nn import MaxPool2dOp
from ...ir.location import Location

Array = NDArray[Any]


class NotBinary(Exception):
    """Why a value has no binary form."""

    def __init__(self, message: str, *, found: str = "", expected: str = "", help: str = "") -> None:
        super().__init__(message)
        self.message, self.found, self.expected, self.help = message, found, expected, help

    def at(self, op: Operation) -> Diagnostic:
        """The refusal of `op`."""
        return Diagnostic(
            "SNC0460", self.message, found=self.found, expected=self.expected, help=self.help, node=str(op.location)
        )


@frozen(eq=False)
class Weighted:
    """A convolution or a matrix product of a 0/1 map, without bias.

    `weight` is [O, C / groups, KH, KW] with the geometry of nn.conv2d in `window`, or [K, M] where `window` is None.
    `shape` is the shape of the result; `location` that of the layer.
    """

    map: Value
    weight: Array
    window: Mapping[str, Attribute] | None
    shape: tuple[int, ...]
    location: Location


Term = Value | Weighted
"""A 0/1 map itself, or weights on one."""


@frozen(eq=False)
class Pool:
    """A max pooling of a sum before its step; where `least` holds for a channel, the least element is taken."""

    op: MaxPool2dOp
    least: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.op.out.shape[1:]


@frozen(eq=False)
class Sum:
    """moved(pool(shift + sum of coefficient * term)), in the shape `shape`.

    `terms` and `shift` have the shape in which the terms stand, `inside`. `moves` are transposes and reshapes behind
    them; element i of the result is element order[i] (no moves: None).
    """

    inside: tuple[int, ...]
    terms: Mapping[Term, Array]
    shift: Array
    shape: tuple[int, ...]
    pool: Pool | None = None
    moves: tuple[Operation, ...] = ()
    order: Array | None = None

    @classmethod
    def of_map(cls, spikes: Value, low: Array | float = 0.0, high: Array | float = 1.0) -> Sum:
        """A map that is `low` where there is no spike and `high` where there is one."""
        shape = spikes.shape[1:]
        low, high = (np.broadcast_to(np.asarray(level, np.float64), shape) for level in (low, high))
        return cls(shape, {spikes: high - low}, low, shape)

    @property
    def plain(self) -> bool:
        """Whether neither pooling nor moves stand behind the terms."""
        return self.pool is None and self.order is None

    @property
    def map(self) -> Value | None:
        """The one 0/1 map that decides the value, without weights; None when there is more to it."""
        terms = list(self.terms)
        return terms[0] if len(terms) == 1 and isinstance(terms[0], Value) and self.plain else None

    @property
    def unweighted(self) -> bool:
        """Whether all terms are 0/1 maps themselves."""
        return self.plain and all(isinstance(term, Value) for term in self.terms)

    def level(self, spiking: Mapping[Value | None, bool]) -> Array:
        """The value of an unweighted sum for these states of its maps."""
        return self.shift + sum(
            array for term, array in self.terms.items() if isinstance(term, Value) and spiking[term]
        )

    def inward(self, array: Array) -> Array:
        """An array in the shape of the result as one in the shape of the terms; raises NotBinary when it has none."""
        array = np.broadcast_to(array, self.shape)
        if self.order is not None:
            flat = np.empty(array.size, array.dtype)
            flat[self.order] = array.reshape(-1)
            array = flat.reshape(self.inside if self.pool is None else self.pool.shape)
        if self.pool is not None:
            by_channel = constant_along(array, (1, 2))
            if by_channel is None:
                raise NotBinary("what stands between a max pooling and its step differs from place to place")
            array = np.broadcast_to(by_channel[:, None, None], self.inside)
        return array

    def affine(self, scale: Array | float, shift: Array | float) -> Sum:
        """scale * self + shift; both broadcast to the shape of the result."""
        scale, shift = self.inward(np.asarray(scale, np.float64)), self.inward(np.asarray(shift, np.float64))
        pool = self.pool
        if pool is not None:
            pool = evolve(pool, least=pool.least ^ (scale[:, 0, 0] < 0))
        terms = {term: coefficient * scale for term, coefficient in self.terms.items()}
        return evolve(self, terms=terms, shift=self.shift * scale + shift, pool=pool)

    def plus(self, other: Sum) -> Sum:
        """self + other; raises NotBinary when their elements cannot be brought side by side."""
        if not other.terms and other.plain:
            return self.affine(1.0, other.shift)
        if not self.terms and self.plain:
            return other.affine(1.0, self.shift)
        same_order = self.order is other.order or (
            self.order is not None and other.order is not None and np.array_equal(self.order, other.order)
        )
        if self.pool is not None or other.pool is not None or not same_order or self.inside != other.inside:
            raise NotBinary("two sums are added behind poolings or moves that differ")
        terms = dict(self.terms)
        for term, coefficient in other.terms.items():
            terms[term] = terms[term] + coefficient if term in terms else coefficient
            if term in self.terms and not terms[term].any():
                del terms[term]
        return evolve(self, terms=terms, shift=self.shift + other.shift)

    def equals(self, other: Sum) -> bool:
        """Whether both are the same function of the same maps."""
        if self is other:
            return True
        return (
            self.terms.keys() == other.terms.keys()
            and (self.pool, self.moves) == (other.pool, other.moves)
            and np.array_equal(self.shift, other.shift)
            and all(np.array_equal(array, other.terms[term]) for term, array in self.terms.items())
        )


def constant_along(array: Array, axes: tuple[int, ...]) -> Array | None:
    """The array without `axes` when it is constant along them; None when it is not."""
    first = array[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(array.ndim))]
    return first.squeeze(axes) if bool((array == first).all()) else None


@frozen(eq=False)
class Comparison:
    """Whether `sum` lies below, at or above `threshold` (in the shape of the sum); `op` compares in the program."""

    sum: Sum
    threshold: Array
    op: Operation

    def equals(self, other: Comparison) -> bool:
        """Whether both ask the same."""
        return self is other or (self.sum.equals(other.sum) and np.array_equal(self.threshold, other.threshold))


@frozen(eq=False)
class Step:
    """A function of a comparison: its values where the sum lies below, at and above the threshold."""

    comparison: Comparison
    values: tuple[Array, Array, Array]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.comparison.sum.shape

    @property
    def low(self) -> Array:
        """The lesser value on either side of the threshold."""
        return np.minimum(self.values[0], self.values[2])

    @property
    def high(self) -> Array:
        """The greater value on either side of the threshold."""
        return np.maximum(self.values[0], self.values[2])

    @property
    def falling(self) -> Array:
        """Where the value is greater below the threshold."""
        return self.values[0] > self.values[2]

    def mapped(self, function: Callable[[Array], Array]) -> Step:
        """The step whose three values are those of `function`."""
        below, at, above = (function(value) for value in self.values)
        return evolve(self, values=(below, at, above))


Form = Sum | Step
"""What a value is."""
