"""Fixed-point operations; the meaning of the quant dialect."""

from __future__ import annotations

from collections.abc import Mapping

from .kernel import Kernel
from ...ir.core import Operation

KERNELS: Mapping[type[Operation], Kernel] = {}
