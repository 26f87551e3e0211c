"""How long tasks occupy the MAC array, and what they fetch meanwhile.

The array keeps `rows` output channels by `columns` output columns and adds one product to each a clock. For each group
of channels, output row and group of columns it takes (input channels x taps) clocks, stretched by the stalls of operand
fetching, then writes its sums (Wu, diploma thesis, TU Dresden 2019).
"""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import Kernel
from .clocks import Integers, MacClocks
from .touches import ELEMENT_BYTES, Table, ceil_div, field, is_kernel

SUM_BYTES = 4


@frozen(eq=False)
class MacWork:
    """Of each shape class, int64[shapes]; 0 for kernels of the ARM core.

    `local` and `remote` are clocks of a task whose second operand lies in the PE's own SRAM or elsewhere;
    `weight_packets` are fetched over the NoC, `port_accesses` are made to the PE's own SRAM besides, `macs` are the
    products that the layer asks for.
    """

    local: Integers
    remote: Integers
    weight_packets: Integers
    port_accesses: Integers
    macs: Integers


def mac_work(shapes: Table, mac: MacClocks) -> MacWork:
    """The work of each shape class on the MAC array."""
    conv, depthwise, matmul = (is_kernel(shapes, each) for each in (Kernel.CONV, Kernel.DEPTHWISE, Kernel.MATMUL))
    window = conv | depthwise
    height = _run_extent(shapes, "h", "height", window, mac)
    width = _run_extent(shapes, "w", "width", window, mac)
    taps = np.where(window, field(shapes, "kernel_h") * field(shapes, "kernel_w"), 1)
    depth = np.where(depthwise, 1, field(shapes, "channels_in")) * taps
    # A matrix product keeps rows of a where a convolution keeps output channels; a depthwise channel has one filter.
    lines = np.select([conv, depthwise], [field(shapes, "channels"), 1], field(shapes, "height"))
    passes = np.select([conv, depthwise], [height, field(shapes, "channels") * height], 1) * ceil_div(lines, mac.rows)
    both_narrow = (ELEMENT_BYTES[shapes["a_type"]] == 1) & (ELEMENT_BYTES[shapes["b_type"]] == 1)
    step = np.where(both_narrow, 1, mac.clocks_per_16_bit_step)
    ideal = passes * ceil_div(width, mac.columns) * depth * step
    # The filter block is filled up to whole groups, and so are its results.
    written = np.where(conv, mac.rows, np.minimum(lines, mac.rows))
    words = max(mac.result_bytes_per_clock // SUM_BYTES, 1)
    per_row = width // mac.columns * -(-mac.columns // words) + ceil_div(width % mac.columns, words)
    results = passes * written * per_row
    busy = conv | depthwise | matmul
    stall = np.where(taps == 1, mac.conv_1x1_stall, mac.conv_stall)
    extra = np.where(busy, results + mac.task_clocks, 0)
    weight_packets = np.where(window, ceil_div(ideal, mac.weight_request_clocks), 0)
    operands = np.where(matmul, ideal + ceil_div(ideal, mac.input_step_clocks), ceil_div(ideal, mac.input_step_clocks))
    outputs = field(shapes, "height") * field(shapes, "width")
    channels = np.where(matmul, 1, field(shapes, "channels"))
    return MacWork(
        local=np.where(busy, _stretched(ideal, np.where(matmul, mac.matmul_local_stall, stall)), 0) + extra,
        remote=np.where(busy, _stretched(ideal, np.where(matmul, mac.matmul_remote_stall, stall)), 0) + extra,
        weight_packets=weight_packets,
        port_accesses=np.where(busy, operands + results, 0),
        macs=np.where(busy, outputs * channels * depth, 0),
    )


def _run_extent(shapes: Table, axis: str, name: str, window: np.ndarray, mac: MacClocks) -> Integers:
    """Output rows or columns that are computed: those of stride 1 where the array has no other stride."""
    size, stride = field(shapes, name), np.maximum(field(shapes, f"stride_{axis}"), 1)
    own = ~window | np.isin(stride, mac.conv_strides)
    return np.where(own, size, (size - 1) * stride + 1)


def _stretched(clocks: Integers, factor: np.ndarray) -> Integers:
    return np.ceil(np.round(clocks * factor, 6)).astype(np.int64)
