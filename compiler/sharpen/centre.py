"""Moves the sums of every layer to its step, so that a network trained with another activation can go on from there."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ...ir.core import Operation, Value
from ...ir.dialects import nn
from .layers import affine_end, weight_of
from .network import Mode, Network
from .normalise import bias_of
from .stepped import Stepped

SPREAD = 0.5
"""Standard deviation of the sums around the threshold of 1/2, that is, of the soft activation's linear part."""
SMALLEST = 1e-5


def centre(network: Network, stepped: Stepped, inputs: Sequence[torch.Tensor]) -> None:
    """Gives the sums of each channel the mean 1/2 and the standard deviation SPREAD over these inputs.

    Layer by layer, from the first: through its batch normalisation, or through weights and bias where it has none.
    Which way a neuron looks is what training has found; where it switches is found anew, for a step has no other
    range than that around its threshold.
    """
    mode = Mode((0.0,) * len(stepped.activations))
    with torch.no_grad():
        for op in stepped.module.main.body.ops:
            if isinstance(op, nn.BatchNormOp):
                _centre_norm(network, inputs, op, mode)
            elif weight_of(op) is not None and not affine_end(op)[1]:
                _centre_bias(network, inputs, op, mode)


def _centre_norm(network: Network, inputs: Sequence[torch.Tensor], op: nn.BatchNormOp, mode: Mode) -> None:
    mean, variance = _moments(network, inputs, op.x, mode, channels=1)
    scale = network.constant(op.scale)
    network.constant(op.mean).copy_(mean)
    network.constant(op.variance).copy_(variance)
    scale.copy_(torch.where(scale < 0, -SPREAD, SPREAD))
    network.constant(op.bias).fill_(0.5)


def _centre_bias(network: Network, inputs: Sequence[torch.Tensor], op: Operation, mode: Mode) -> None:
    bias = bias_of(op)
    if bias is None:
        return
    conv = isinstance(op, nn.Conv2dOp)
    value = op.result if conv else bias.users[0].result
    mean, variance = _moments(network, inputs, value, mode, channels=1 if conv else -1)
    factor = SPREAD / (variance + SMALLEST).sqrt()
    weight, shift = network.constant(op.operands[1]), network.constant(bias)
    weight.mul_(factor[:, None, None, None] if conv else factor)
    shift.copy_((shift.flatten() * factor + 0.5 - mean * factor).reshape(shift.shape))


def _moments(
    network: Network, inputs: Sequence[torch.Tensor], value: Value, mode: Mode, *, channels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of a value by channel."""
    seen: list[torch.Tensor] = []

    def keep(each: Value, tensor: torch.Tensor) -> None:
        if each is value:
            seen.append(tensor)

    network(inputs, mode, keep)
    rows = seen[0].movedim(channels, 0).flatten(1)
    return rows.mean(dim=1), rows.var(dim=1, unbiased=False)
