"""Values that are known before the program runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core import Value
from .diagnostics import Diagnostic, LimitExceeded
from .traits import Trait

MAX_ELEMENTS = 1 << 28
"""No constant is computed that has more elements."""


class ConstantFolder:
    """Computes values from constants and remembers them; only while the operations above them stay as they are."""

    def __init__(self) -> None:
        self._known: dict[Value, NDArray[Any] | None] = {}

    def constant_value(self, value: Value) -> NDArray[Any] | None:
        """The value when it follows from constants through operations that have a `fold` rule, otherwise None.

        Raises ValueError when an operation has no value for these operands (an index out of range), LimitExceeded
        when a constant would have more than MAX_ELEMENTS elements.
        """
        stack = [value]
        while stack:
            top = stack[-1]
            if top in self._known:
                stack.pop()
                continue
            op = top.owner
            if op is None or Trait.PURE not in op.traits or len(op.results) != 1:
                self._known[top] = None
                continue
            missing = [operand for operand in op.operands if operand not in self._known]
            if missing:
                stack.append(missing[0])
                continue
            self._known[top] = self._fold(top)
        return self._known[value]

    def _fold(self, value: Value) -> NDArray[Any] | None:
        op = value.owner
        assert op is not None
        operands = [self._known[operand] for operand in op.operands]
        known = [operand for operand in operands if operand is not None]
        if len(known) != len(operands):
            return None
        if value.tensor.size > MAX_ELEMENTS:
            raise LimitExceeded(
                Diagnostic(
                    "SNC0190",
                    f"the constant {value.hint or op.name} would be too large",
                    found=f"{value.tensor.size} elements",
                    expected=f"at most {MAX_ELEMENTS}",
                    node=str(op.location),
                )
            )
        with np.errstate(all="ignore"):
            return op.fold(known)


def constant_value(value: Value) -> NDArray[Any] | None:
    """The value when it follows from constants, otherwise None; see ConstantFolder."""
    return ConstantFolder().constant_value(value)
