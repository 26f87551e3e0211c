"""The samples that a user gives a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, UsageError
from ...ir.dialects.builtin import FuncOp
from ..executable import Port
from .host import encoders

Array = NDArray[Any]


def checked_samples(ports: Sequence[Port], numbers: Sequence[bool], inputs: Sequence[Array]) -> list[Array]:
    """`inputs` as they are, where all are [N, ...] of one N, at least 1, in the shapes of the model.

    Input i holds 0 and 1 in any type, or, where `numbers[i]`, finite numbers of the port's own type. Raises UsageError
    with everything that does not fit.
    """
    if len(inputs) != len(ports):
        names = ", ".join(port.name for port in ports)
        raise UsageError(
            Diagnostic("SNC0401", "wrong number of inputs", found=str(len(inputs)), expected=f"{len(ports)} ({names})")
        )
    arrays = [np.asarray(array) for array in inputs]
    problems = []
    for port, plain, array in zip(ports, numbers, arrays, strict=True):
        problem = _misfit(port, plain, array) or _wrong_value(port, plain, array)
        if problem is not None:
            problems.append(problem)
    counts = sorted({len(array) for array in arrays if array.ndim})
    if not problems and len(counts) > 1:
        problems.append(Diagnostic("SNC0402", "the inputs have different numbers of samples", found=str(counts)))
    if problems:
        raise UsageError(problems)
    return arrays


def _misfit(port: Port, plain: bool, array: Array) -> Diagnostic | None:
    fits = array.ndim == len(port.shape) and array.shape[1:] == port.shape[1:] and len(array) > 0
    if fits and (array.dtype == port.dtype if plain else array.dtype.kind in "buif"):
        return None
    shape = f"[samples, {', '.join(map(str, port.shape[1:]))}], one sample or more"
    return Diagnostic(
        "SNC0402",
        f"input {port.name} does not fit the model",
        node=port.name,
        found=f"shape {list(array.shape)}, {array.dtype}",
        expected=f"shape {shape}, {port.dtype if plain else 'of 0 and 1'}",
        help="convert the array; nothing is cast or reshaped silently" if plain else "",
    )


def _wrong_value(port: Port, plain: bool, array: Array) -> Diagnostic | None:
    if plain:
        if array.dtype.kind != "f" or np.isfinite(array).all():
            return None
        found = f"{int((~np.isfinite(array)).sum())} such values"
        return Diagnostic(
            "SNC0403",
            f"input {port.name} holds NaN or infinite values",
            node=port.name,
            found=found,
            expected="finite numbers",
        )
    wrong = (array != 0) & (array != 1)
    if not wrong.any():
        return None
    first = np.unravel_index(int(wrong.argmax()), array.shape)
    return Diagnostic(
        "SNC0404",
        f"input {port.name} holds values that are no spikes",
        node=port.name,
        found=f"{array[first]} at {[int(place) for place in first]}; {int(wrong.sum())} such values",
        expected="0 and 1 only",
        help="threshold the samples first, as they were for training; or build with --input-threshold or --input-bits",
    )


def takes_numbers(main: FuncOp, asked: Sequence[bool]) -> tuple[bool, ...]:
    """For each argument, whether it takes numbers that are encoded, not 0 and 1 alone.

    That is so where `asked`, and where an encoder of the module's does more than to tell 0 from 1.
    """
    numbers = list(asked)
    for op, argument in encoders(main):
        numbers[argument] |= op.bits > 1 or not 0 < op.threshold <= 1
    return tuple(numbers)


def samples_by_name(ports: Sequence[Port], data: Mapping[str, Array]) -> list[Array]:
    """The arrays of `data` in the order of the inputs; raises UsageError when one is missing."""
    if len(ports) == 1 and len(data) == 1:
        return list(data.values())
    missing = [port.name for port in ports if port.name not in data]
    if missing:
        raise UsageError(
            Diagnostic(
                "SNC0423",
                "the samples lack inputs of the model",
                found=", ".join(sorted(data)) or "no arrays",
                expected=", ".join(port.name for port in ports),
                help="store the samples of each input under its name: numpy.savez('data.npz', image=samples)",
            )
        )
    return [data[port.name] for port in ports]
