"""The dialects, one a file: builtin, nn, quant, tile, spiking, spinn1, spinn2."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..context import Context


@cache
def default_context() -> Context:
    """The context of all dialects; their files are loaded at the first call."""
    from ..context import Context
    from .builtin import BUILTIN
    from .nn import NN
    from .quant import QUANT
    from .spiking import SPIKING
    from .spinn1 import SPINN1
    from .spinn2 import SPINN2
    from .tile import TILE

    return Context((BUILTIN, NN, QUANT, TILE, SPIKING, SPINN1, SPINN2))
