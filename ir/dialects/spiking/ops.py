"""The operations of the spiking dialect."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...constraints import FLOAT_TENSOR, Constraint
from ...core import Operation, Value
from ...spec import BOOL, DENSE, FLOAT, INT, INTS, STR, attribute, choice, ints, operand, operands, result
from ...traits import Trait
from ...types import F32, I1, I64, TensorType, Type
from .connectors import CONNECTORS, Synapses, connector_synapses, merge_synapses

Array = NDArray[Any]

RAW_MAX = 65535
"""The greatest sum that a receptor holds, in units of 2^shift."""
MAX_SHIFT = 15
"""Largest shift of a receptor: 65535 << 15 is the last that a 32 bit word holds."""

SPIKES = Constraint("a tensor of i1", lambda t: isinstance(t, TensorType) and t.element == I1 and t.rank >= 2)
CURRENT = Constraint(
    "a tensor 2xNx.. of i64", lambda t: isinstance(t, TensorType) and t.element == I64 and t.shape[:1] == (2,)
)


class Neurons(Operation):
    """What source populations and populations share: who they are, and when and where they fire.

    `label` names the layer (the ONNX node). `group` is u16, one entry for each neuron, bias neuron last, absent: all in
    group 0. `base` is the step at which group 0 is due, counted from the start of the wave; absent until
    schedule-temporal-groups has run. `neurons_per_core` is the most that one core holds; absent: the machine's limit.
    """

    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    label: str = attribute(STR, default="")
    group: Array | None = attribute(DENSE, default=None)
    base: int | None = attribute(INT, default=None)
    neurons_per_core: int | None = attribute(INT, default=None)
    out: Value = result()

    @property
    def size(self) -> int:
        """Neurons that are elements of the result."""
        return math.prod(self.out.shape[1:])

    @property
    def bias_neurons(self) -> int:
        """1 with a bias neuron, else 0."""
        raise NotImplementedError

    @property
    def neurons(self) -> int:
        """All neurons, the bias neuron included."""
        return self.size + self.bias_neurons

    def check(self) -> None:
        group = self.group
        if group is not None and (group.shape != (self.neurons,) or group.dtype != np.uint16):
            raise ValueError(f"expected {self.neurons} groups of u16, found {group.dtype} {group.shape}")
        if (self.base is not None and self.base < 0) or (
            self.neurons_per_core is not None and self.neurons_per_core < 1
        ):
            raise ValueError("a base is at least 0, and a core holds at least 1 neuron")


class EncodeOp(Neurons):
    """A source population: the host makes the spikes of one sample x [N, ...], each at its neuron's due step.

    bits = 1: spike = x >= threshold, in the shape of x.
    bits = b > 1: q = clamp(floor(x * 2^b + 1/2), 0, 2^b - 1), and channel c * b + k of the result (axis 1) is the bit
    of q that is worth 2^-(k + 1), k = 0 .. b - 1, so that the sum of bits by worth is q / 2^b.

    With `bias_neuron` one more source spikes in every wave: the always-on input that drives the bias neurons.
    """

    name: ClassVar[str] = "spiking.encode"
    x: Value = operand(FLOAT_TENSOR)
    threshold: float = attribute(FLOAT, default=0.5)
    bits: int = attribute(INT, default=1)
    bias_neuron: bool = attribute(BOOL, default=False)

    def infer(self) -> tuple[Type, ...]:
        if self.x.tensor.rank < 2 or not 1 <= self.bits <= 16:
            raise ValueError(f"{self.x.type} cannot be encoded in {self.bits} bits: expected [N, ...] and 1 to 16 bits")
        batch, channels, *rest = self.x.shape
        return (TensorType((batch, channels * self.bits, *rest), I1),)

    @property
    def bias_neurons(self) -> int:
        return int(self.bias_neuron)


class ProjectOp(Operation):
    """Synapses from the population of `spikes` to a population of `shape` ([N, ...]); gives its current [2, N, ...].

    The connector reads inputs of `input_shape` ([N, ...]; absent: the shape of `spikes`). Input i is neuron index[i] of
    the population, or nothing where index[i] is -1; without `index` (i32), input i is neuron i. So a transposed, sliced
    or padded map needs no neurons of its own. `connector`, `weight` (i32), `kernel` (of pool), `strides`, `pads` (top,
    left, bottom, right), `dilations`, `groups`, `pre` and `post` (i32, of from-list) are explained at CONNECTORS;
    `shape` decides how many windows there are.

    `bias` (i32 [neurons of the target]) are weights of further synapses from the population's bias neuron; `chain` is
    the weight of the synapse from its bias neuron to the target's bias neuron, 0 when there is none.
    """

    name: ClassVar[str] = "spiking.project"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    spikes: Value = operand(SPIKES)
    connector: str = attribute(choice(*CONNECTORS))
    weight: Array = attribute(DENSE)
    shape: tuple[int, ...] = attribute(INTS)
    input_shape: tuple[int, ...] | None = attribute(INTS, default=None)
    index: Array | None = attribute(DENSE, default=None)
    kernel: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))
    strides: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))
    pads: tuple[int, ...] = attribute(ints(4, low=0), default=(0, 0, 0, 0))
    dilations: tuple[int, ...] = attribute(ints(2, low=1), default=(1, 1))
    groups: int = attribute(INT, default=1)
    pre: Array | None = attribute(DENSE, default=None)
    post: Array | None = attribute(DENSE, default=None)
    bias: Array | None = attribute(DENSE, default=None)
    chain: int = attribute(INT, default=0)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        if len(self.shape) < 2 or self.shape[0] != self.spikes.shape[0] or min(self.shape) < 1:
            raise ValueError(f"expected a shape [{self.spikes.shape[0]}, ...], found {list(self.shape)}")
        return (TensorType((2, *self.shape), I64),)

    @property
    def source(self) -> Neurons:
        """The population whose spikes are read; raises ValueError when the operand is none."""
        return source_of(self.spikes)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Shape of the connector's input, with the batch."""
        return self.spikes.shape if self.input_shape is None else self.input_shape

    @property
    def targets(self) -> int:
        """Neurons of the target that are elements of its result."""
        return math.prod(self.shape[1:])

    def check(self) -> None:
        source = self.source
        inputs, size, found = math.prod(self.inputs[1:]), math.prod(self.spikes.shape[1:]), self.weight.shape
        self._check_index(inputs, size)
        shapes_fit = {
            "all-to-all": found == (inputs, self.targets),
            "one-to-one": inputs == self.targets and found in ((), (inputs,)),
            "conv2d": self._convolves(),
            "pool": found == () and len(self.inputs) == len(self.shape) == 4 and self.inputs[1] == self.shape[1],
            "from-list": len(found) == 1,
        }
        if not shapes_fit[self.connector] or self.weight.dtype != np.int32:
            raise ValueError(
                f"{self.connector} weights {self.weight.dtype} {found} do not join {list(self.inputs)} to "
                f"{list(self.shape)}"
            )
        if self.connector == "from-list":
            _check_numbers("pre", self.pre, len(self.weight), 0, inputs)
            _check_numbers("post", self.post, len(self.weight), 0, self.targets)
        if self.bias is not None:
            _check_numbers("bias", self.bias, self.targets, -(1 << 31), 1 << 31)
        if self.chain < 0:
            raise ValueError(f"a bias neuron excites the next one, found the weight {self.chain}")
        if (self.chain or self.bias is not None) and not source.bias_neurons:
            raise ValueError(f"the population {source.label!r} has no bias neuron")

    def _check_index(self, inputs: int, size: int) -> None:
        if self.index is not None:
            _check_numbers("index", self.index, inputs, -1, size)
        elif inputs != size:
            raise ValueError(f"{size} neurons do not fill {inputs} inputs")

    def _convolves(self) -> bool:
        if len(self.inputs) != 4 or len(self.shape) != 4 or self.weight.ndim != 4 or self.groups < 1:
            return False
        filters, per_group = self.weight.shape[:2]
        return filters == self.shape[1] and per_group * self.groups == self.inputs[1] and filters % self.groups == 0

    def synapses(self) -> Synapses:
        """All synapses, those of the bias neurons too; a neuron number is that of its population."""
        found = connector_synapses(
            self.connector,
            self.inputs[1:],
            self.shape[1:],
            self.weight,
            kernel=self.kernel,
            strides=self.strides,
            pads=self.pads,
            dilations=self.dilations,
            groups=self.groups,
            pre=self.pre,
            post=self.post,
        )
        if self.index is not None:
            pre = self.index[found.pre]
            kept = pre >= 0
            found = Synapses(pre[kept], found.post[kept], found.weight[kept])
        bias_neuron = np.asarray(math.prod(self.spikes.shape[1:]))
        parts = [found]
        if self.bias is not None:
            parts.append(Synapses.of(bias_neuron, np.arange(self.targets), self.bias))
        if self.chain:
            parts.append(Synapses.of(bias_neuron, np.array([self.targets]), np.array([self.chain])))
        return merge_synapses(parts) if len(parts) > 1 else found


class PopulationOp(Neurons):
    """Instant-decay threshold neurons: a neuron fires in the step in which exc - inh + offset >= threshold.

    The receptors add all currents, which have one shape. `threshold` and `offset` are i32 scalars or one entry for each
    element of the result, flat. `shift_exc`, `shift_inh`, `fraction`: see the dialect's description; every weight that
    arrives at a receptor is a multiple of 2^shift and at most 65535 << shift. `bias_threshold` is the threshold of the
    bias neuron; absent when there is none. Some current's `chain` reaches it. `saturates` is false when no volley
    whatever can bring a receptor beyond 65535.
    """

    name: ClassVar[str] = "spiking.population"
    currents: tuple[Value, ...] = operands(CURRENT)
    threshold: Array = attribute(DENSE)
    offset: Array | None = attribute(DENSE, default=None)
    shift_exc: int = attribute(INT, default=0)
    shift_inh: int = attribute(INT, default=0)
    fraction: int = attribute(INT, default=0)
    bias_threshold: int | None = attribute(INT, default=None)
    saturates: bool = attribute(BOOL, default=False)

    def infer(self) -> tuple[Type, ...]:
        shapes = {value.shape for value in self.currents}
        if len(shapes) != 1:
            raise ValueError(f"expected currents of one shape, found {sorted(shapes)}")
        return (TensorType(shapes.pop()[1:], I1),)

    @property
    def bias_neurons(self) -> int:
        return int(self.bias_threshold is not None)

    @property
    def projections(self) -> tuple[ProjectOp, ...]:
        """The projections that arrive here, in the order of the currents; raises ValueError for any other operand."""
        found = []
        for value in self.currents:
            if not isinstance(value.owner, ProjectOp):
                raise ValueError("a current is the result of spiking.project")
            found.append(value.owner)
        return tuple(found)

    def check(self) -> None:
        super().check()
        for name, numbers in (("threshold", self.threshold), ("offset", self.offset)):
            if numbers is not None and (numbers.shape not in ((), (self.size,)) or numbers.dtype != np.int32):
                raise ValueError(f"expected {name} of i32 () or ({self.size},), found {numbers.dtype} {numbers.shape}")
        if not (0 <= self.shift_exc <= MAX_SHIFT and 0 <= self.shift_inh <= MAX_SHIFT):
            raise ValueError(f"a receptor's shift is 0 .. {MAX_SHIFT}, found {self.shift_exc} and {self.shift_inh}")
        for projection in self.projections:
            numbers = projection.weight.reshape(-1)
            bias = projection.bias if projection.bias is not None else numbers[:0]
            self._check_code(np.concatenate([numbers, bias, [projection.chain]]))
        chain = sum(projection.chain for projection in self.projections)
        if chain < self.bias_threshold if self.bias_threshold is not None else chain:
            raise ValueError(f"the bias neuron gets {chain}, its threshold is {self.bias_threshold}")
        if self.bias_threshold is not None and self.bias_threshold < 1:
            raise ValueError("the threshold of a bias neuron is at least 1")

    def _check_code(self, weights: Array) -> None:
        """Raises ValueError for a weight that its receptor's shift cannot express."""
        for shift, side in ((self.shift_exc, weights[weights > 0]), (self.shift_inh, -weights[weights < 0])):
            if (side & ((1 << shift) - 1)).any() or (side >> shift).max(initial=0) > RAW_MAX:
                raise ValueError(f"weights are no multiples of 2^{shift} up to {RAW_MAX} of them")


class DecodeOp(Operation):
    """The host reads an output population: y = 1.0 where a neuron spiked at its due step, else 0.0.

    Operations behind it run on the host (votes of a key matrix, softmax, argmax). The outputs of a netlist are the
    neurons of the decoded populations, one decode after the other in the order of the program.
    """

    name: ClassVar[str] = "spiking.decode"
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.PURE})
    spikes: Value = operand(SPIKES)
    out: Value = result()

    def infer(self) -> tuple[Type, ...]:
        return (self.spikes.tensor.with_element(F32),)

    def check(self) -> None:
        source_of(self.spikes)


def source_of(spikes: Value) -> Neurons:
    """The population that makes `spikes`; raises ValueError when it is another operation or an argument."""
    if not isinstance(spikes.owner, Neurons):
        raise ValueError("spikes are the result of spiking.encode or spiking.population")
    return spikes.owner


def _check_numbers(name: str, numbers: Array | None, count: int, low: int, high: int) -> None:
    """Raises ValueError unless `numbers` are `count` i32 from `low` up to, not including, `high`."""
    if numbers is None or numbers.shape != (count,) or numbers.dtype != np.int32:
        found = "none" if numbers is None else f"{numbers.dtype} {numbers.shape}"
        raise ValueError(f"expected {name} of i32 ({count},), found {found}")
    if count and not (low <= int(numbers.min()) and int(numbers.max()) < high):
        raise ValueError(f"{name} holds {numbers.min()} .. {numbers.max()}, expected {low} .. {high - 1}")


SPIKING_OPS: tuple[type[Operation], ...] = (EncodeOp, ProjectOp, PopulationOp, DecodeOp)
