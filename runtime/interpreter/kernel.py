"""What a kernel of the interpreter is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

Kernel = Callable[[Any, Sequence[Array]], Array]
"""The one result of an operation, from the operation and the values of its operands."""
