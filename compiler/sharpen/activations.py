"""Activations between soft and hard: bounded ReLU and sigmoid with a sharpness, and the step of training by steps."""

from __future__ import annotations

import math
from typing import Any

import torch

SHARPEST = 1e-3
"""Width of the linear part just below sharpness 1, so that its slope stays finite."""
SIGMOID_SLOPE = 4 * math.log(2 + math.sqrt(3))
"""The sigmoid's slope at which its curvature is greatest at 0 and 1 of a bounded ReLU of width 1."""


def bounded_relu(z: torch.Tensor, sharpness: float) -> torch.Tensor:
    """clip((z - 1/2) / width + 1/2, 0, 1) of width 1 - sharpness."""
    width = 1 - sharpness + SHARPEST
    return torch.clamp((z - 0.5) / width + 0.5, 0.0, 1.0)


def sigmoid(z: torch.Tensor, sharpness: float) -> torch.Tensor:
    """A sigmoid around z = 1/2 that becomes the step as the bounded ReLU does."""
    return torch.sigmoid((z - 0.5) * (SIGMOID_SLOPE / (1 - sharpness + SHARPEST)))


def step(z: torch.Tensor) -> torch.Tensor:
    """1 where z >= 1/2, else 0; without a slope."""
    return (z.detach() >= 0.5).to(z.dtype)


class StraightThrough(torch.autograd.Function):  # type: ignore[misc]
    """A step whose slope is that of the bounded ReLU of width 1 (Bengio, Leonard, Courville 2013)."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(z)
        return (z >= 0.5).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        (z,) = ctx.saved_tensors
        return gradients[0] * ((z > 0) & (z < 1))


def straight_through(z: torch.Tensor) -> torch.Tensor:
    """The step, with a slope for training."""
    made: torch.Tensor = StraightThrough.apply(z)
    return made
