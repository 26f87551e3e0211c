"""llvmlite, which has no type annotations, under names that the type checker leaves alone."""

from __future__ import annotations

from typing import Any

import llvmlite
import llvmlite.binding
import llvmlite.ir

binding: Any = llvmlite.binding
"""Targets, passes, ORC."""
ir: Any = llvmlite.ir
"""Types, instructions, builder."""
VERSION = str(llvmlite.__version__)

IRType = Any
"""An LLVM type."""
IRFunction = Any
"""An LLVM function."""
