"""How long tasks occupy the ARM core: a cost for each element, by kernel (Wu, diploma thesis, 2019, table 5.9)."""

from __future__ import annotations

import numpy as np

from ...ir.dialects.spinn2_tables import ELEMENT_DTYPES, Kernel
from .clocks import ArmClocks, Integers
from .touches import ELEMENT_BYTES, Table, ceil_div, field, is_kernel

WORD_BYTES = 4
LEAST = np.array([np.iinfo(dtype).min for dtype in ELEMENT_DTYPES], np.int64)
"""Least value of each element type."""


def arm_clocks(shapes: Table, arm: ArmClocks) -> Integers:
    """Clocks of a task of each shape class, int64[shapes]; 0 for kernels of the MAC array.

    A ReLU that is a pass of its own (`count`) is charged before the quantisation where sums of 32 bits come in, else on
    the elements as they are. Without that pass, a lower limit above the least value of the type is a ReLU of the narrow
    result, and the least value is what saturation gives anyway.
    """
    elements = field(shapes, "channels") * field(shapes, "height") * field(shapes, "width")
    inputs = field(shapes, "channels") * field(shapes, "height_in") * field(shapes, "width_in")
    a_bytes, y_bytes = ELEMENT_BYTES[shapes["a_type"]], ELEMENT_BYTES[shapes["y_type"]]
    apart = field(shapes, "count") > 0
    limited = (field(shapes, "low") > LEAST[shapes["y_type"]]) & (y_bytes < WORD_BYTES)
    narrow_relu = np.where(limited, arm.relu_i8, 0.0)
    relu = np.where(apart, np.where(a_bytes == WORD_BYTES, arm.relu_i32, arm.relu_i8), narrow_relu)
    sum_relu = np.where(apart, arm.relu_i32, narrow_relu)
    # An identity rescale that only adds the bias is an addition.
    rescale = np.where(y_bytes == WORD_BYTES, arm.add, arm.quantize + relu)
    max_pool = np.where(a_bytes == WORD_BYTES, arm.max_pool_i32_input, arm.max_pool_i8_input)
    # Around an inner box all words of the tile are walked over, else those of the strip.
    strip = ceil_div(field(shapes, "width") * y_bytes, WORD_BYTES) * field(shapes, "height") * field(shapes, "channels")
    whole = ceil_div(field(shapes, "channels") * field(shapes, "y_channel"), WORD_BYTES)
    padded = np.where(field(shapes, "height_in") * field(shapes, "width_in") > 0, whole, strip)
    window = field(shapes, "kernel_h")
    costs: dict[tuple[Kernel, ...], tuple[Integers, np.ndarray | float]] = {
        (Kernel.PAD,): (padded, arm.pad_word),
        (Kernel.ACCUMULATE,): (elements, arm.add),
        (Kernel.REQUANTIZE, Kernel.REQUANTIZE_FLOAT): (elements, rescale),
        (Kernel.ADD, Kernel.ADD_FLOAT): (elements, arm.add + sum_relu),
        (Kernel.MUL,): (elements, arm.multiply + sum_relu),
        (Kernel.TABLE,): (elements, arm.table),
        (Kernel.MAX_POOL,): (inputs, max_pool),
        (Kernel.AVG_POOL,): (inputs, arm.average_pool_input),
        (Kernel.SOFTMAX,): (elements, arm.softmax),
        (Kernel.LRN,): (elements * window, arm.lrn_term),
        (Kernel.MAXIMUM, Kernel.MINIMUM): (elements, arm.maximum),
    }
    clocks = np.zeros(len(shapes))
    for kernels, (count, cost) in costs.items():
        clocks = np.where(is_kernel(shapes, *kernels), count * cost, clocks)
    return np.ceil(np.round(clocks, 6)).astype(np.int64)
