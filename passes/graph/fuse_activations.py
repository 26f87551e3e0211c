"""fuse-activations: few spellings, so that quantisation has few cases."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ...ir.dialects.builtin import ModuleOp
from ...ir.rewriter import apply_patterns
from ..base import Pass, PassContext
from .activations import ACTIVATIONS
from .chains import ReshapeOfReshape
from .identities import Identity, MeanOfOne
from .matching import EraseDead
from .spellings import SPELLINGS, MulOfMul
from .structure import STRUCTURE


@frozen
class FuseActivations(Pass):
    """Writes each activation, padding, global pooling and dense layer in one way.

        max(min(x, 6), 0)                      becomes  clamp(x, 0, 6)
        x * clamp(x + 3, 0, 6) / 6             becomes  hard_swish(x)
        x * sigmoid(x)                         becomes  silu(x)
        x * (1 + erf(x / sqrt 2)) / 2          becomes  gelu(x)
        reduce mean over rows and columns      becomes  avg_pool2d
        conv2d(pad(x))                         becomes  conv2d with pads

    Constants stand on the right, sub and div by constants are add and mul, and a product with a constant matrix has
    rank 2.

    Keeps: every output up to rounding, for inputs that are numbers: a spelled-out function and the operation for it
    round at different steps, as do x / c and x * (1 / c) and sums taken in another order. The sign of a zero may
    differ, and where a spelling overflows (ln(1 + e^x) for large x) the operation does not.
    """

    name: ClassVar[str] = "fuse-activations"
    idempotent: ClassVar[bool] = True

    def run(self, module: ModuleOp, context: PassContext) -> None:
        # Activations are looked for before factors merge across them; what one phase makes may be what another needs.
        phases = (SPELLINGS, ACTIVATIONS, (MulOfMul(), ReshapeOfReshape(), Identity(), MeanOfOne(), *STRUCTURE))
        changed = True
        while changed:
            changed = False
            for phase in phases:
                changed |= apply_patterns(module, (EraseDead(), *phase))
