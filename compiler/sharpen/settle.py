"""Moves thresholds a little, to where few sums lie, so that rounded weights change few spikes.

Training leaves some sums right at their thresholds, above all those of blank places, which are a bias and nothing else:
wherever an image is empty, a whole channel then hangs on the last bit of one number.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...ir.core import Value
from ...ir.dialects import nn
from ...passes.graph.matching import constant_of, only_user
from .layers import Activation
from .network import Mode, Network, max_pool
from .stepped import Stepped

STEPS = 16
MARGIN = 1 / 64
"""How far from its threshold a sum should lie; rounding to 12 bits moves most sums by less."""
REACH = 2 * STEPS
"""How far a threshold may go, in steps of MARGIN / STEPS."""
NEARER = 1e-3
"""What a step away from where the threshold was counts, beside a sum."""


def settle(network: Network, stepped: Stepped, inputs: Sequence[torch.Tensor]) -> None:
    """Shifts the sums of every channel, layer by layer, to lose the fewest spikes and sums near the threshold."""
    mode = Mode((1.0,) * len(stepped.activations))
    with torch.no_grad():
        for activation in stepped.activations:
            bias = _bias(activation)
            if bias is None:
                continue
            sums = _sums(network, activation, inputs, mode) - activation.level
            shifts = torch.stack([_shift(row) for row in sums.movedim(1, 0).flatten(1)])
            constant = network.constant(bias)
            constant.sub_(shifts.reshape(constant.shape))


def _bias(activation: Activation) -> Value | None:
    """The constant by channel that shifts the sums of an activation and nothing else; None when there is none."""
    value = activation.compare.lhs
    while isinstance(value.owner, nn.MaxPool2dOp) and only_user(value) is not None:
        value = value.owner.x
    op = value.owner
    if op is None or only_user(value) is None:
        return None
    found: Value | None = None
    if isinstance(op, nn.BatchNormOp | nn.Conv2dOp):
        found = op.bias
    elif isinstance(op, nn.AddOp) and op.out.tensor.rank == 2:
        found = op.rhs if constant_of(op.lhs) is None else op.lhs
    constant = None if found is None else constant_of(found)
    return found if constant is not None and constant.size == value.shape[1] else None


def _sums(network: Network, activation: Activation, inputs: Sequence[torch.Tensor], mode: Mode) -> torch.Tensor:
    """What the activation compares; the greatest under each window, where a pooling reads it."""
    seen: list[torch.Tensor] = []

    def keep(value: Value, tensor: torch.Tensor) -> None:
        if value is activation.compare.lhs:
            seen.append(tensor)

    network(inputs, mode, keep)
    pool = only_user(activation.cast.out)
    return max_pool(pool, seen[0]) if isinstance(pool, nn.MaxPool2dOp) else seen[0]


def _shift(sums: torch.Tensor) -> torch.Tensor:
    """How far up the threshold of one channel goes, for sums less the threshold."""
    ends = (REACH + STEPS) * MARGIN / STEPS
    near = sums[(sums >= -ends) & (sums < ends)]
    counts = torch.histc(near, bins=2 * (REACH + STEPS), min=-ends, max=ends)
    below = torch.cat([torch.zeros(1), counts.cumsum(0)])
    steps = torch.arange(-REACH, REACH + 1)
    at = steps + REACH + STEPS
    changed = (below[at] - below[REACH + STEPS]).abs()
    close = below[at + STEPS] - below[at - STEPS]
    return steps[(changed + close + NEARER * steps.abs()).argmin()] * (MARGIN / STEPS)
