"""What goes in and out of a program: which values, and where their bytes lie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.core import Value
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects.builtin import FuncOp, ReturnOp
from ...ir.dialects.quant import DequantizeOp, QuantizeOp
from .aliases import resolve
from .maps import FeatureMap
from .place import Placement

Array = NDArray[Any]


def network_inputs(main: FuncOp) -> list[Value]:
    """The values that the host writes: a quantised argument (once for each way), or an integer argument itself.

    An argument that nobody reads is not written.
    """
    found: list[Value] = []
    for argument in main.body.arguments:
        quantized = [user.out for user in argument.users if isinstance(user, QuantizeOp)]
        found += quantized or [argument] * bool(argument.uses)
    return found


def network_outputs(op: ReturnOp) -> list[Value]:
    """The integers that the host reads: what is returned, before it is dequantized."""
    return [value.owner.x if isinstance(value.owner, DequantizeOp) else value for value in op.values]


def _port_columns(held: FeatureMap) -> tuple[dict[str, Array | int], int]:
    if held.dense is not None:
        size = held.size * held.itemsize
        return {
            "buffer": held.dense[0],
            "address": held.dense[1],
            "n0": 1,
            "bytes": size,
            "pitch": size,
            "at": 0,
        }, 1
    if held.banded is None:
        raise ValueError("a map lies nowhere")
    view, segments = held.banded
    channels = view.channels
    index = np.repeat(np.arange(len(segments.boxes)), channels)
    channel = np.tile(np.arange(channels), len(segments.boxes))
    row_low, row_high = segments.boxes[index, 1, 0], segments.boxes[index, 1, 1]
    size = (row_high - row_low) * view.columns * held.itemsize
    return {
        "buffer": segments.buffer[index],
        "address": segments.address[index] + channel * segments.channel_pitch[index],
        "n0": 1,
        "bytes": size,
        "pitch": size,
        "at": (channel * view.rows + row_low) * view.columns * held.itemsize,
    }, len(index)


def add_input_ports(main: FuncOp, placement: Placement) -> None:
    for index, value in enumerate(network_inputs(main)):
        columns, count = _port_columns(placement.map_of(value))
        placement.rows.ports(index, output=False, columns=columns, count=count)


def add_output_ports(op: ReturnOp, placement: Placement) -> None:
    for index, value in enumerate(network_outputs(op)):
        base, _ = resolve(placement.aliases, value)
        if base not in placement.maps:
            raise ModelError(
                Diagnostic(
                    "SNC0453",
                    "an output of the network is not computed by it",
                    node=str(value.owner.location) if value.owner is not None else "",
                    found=f"a constant or unused {value.type}",
                    expected="an output that depends on an input",
                )
            )
        columns, count = _port_columns(placement.map_of(value))
        placement.rows.ports(index, output=True, columns=columns, count=count)
