"""How long tasks occupy the ARM core: a cost for each element, by kernel (Wu, diploma thesis, 2019, table 5.9)."""

from __future__ import annotations

import numpy as np

from ...ir.dialects.spinn2_tables import Kernel
from .clocks import ArmClocks, Integers
from .touches import ELEMENT_BYTES, Table, ceil_div, field, is_kernel

WORD_BYTES = 4


def arm_clocks(shapes: Table, arm: ArmClocks) -> Integers:
    """Clocks of a task of each shape class, int64[shapes]; 0 for kernels of the MAC array.

    A result that is limited at its zero point went through a ReLU, which the table charges apart: before it is
    quantised where sums of 32 bits come in, else on the elements as they are.
    """
    elements = field(shapes, "channels") * field(shapes, "height") * field(shapes, "width")
    inputs = field(shapes, "channels") * field(shapes, "height_in") * field(shapes, "width_in")
    a_bytes, y_bytes = ELEMENT_BYTES[shapes["a_type"]], ELEMENT_BYTES[shapes["y_type"]]
    rectified = (field(shapes, "low") >= field(shapes, "zero_y")) & (y_bytes < WORD_BYTES)
    relu = np.where(rectified, np.where(a_bytes == WORD_BYTES, arm.relu_i32, arm.relu_i8), 0.0)
    sum_relu = np.where(rectified, arm.relu_i32, 0.0)
    # An identity rescale that only adds the bias is an addition.
    rescale = np.where(y_bytes == WORD_BYTES, arm.add, arm.quantize + relu)
    max_pool = np.where(a_bytes == WORD_BYTES, arm.max_pool_i32_input, arm.max_pool_i8_input)
    padded = ceil_div(field(shapes, "channels") * field(shapes, "y_channel"), WORD_BYTES)
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
