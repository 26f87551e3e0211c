"""The places of one block in each processing element, the weights and parameters there, and the sums of its pieces.

Whole arrays of pieces at a time; tiles of maps are loaded in `tile_loads.py`, what follows the sums is in `stages.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ir.dialects.spinn2_tables import ELEMENT_DTYPES, SHAPE, BufferKind, Element, Kernel, Phase
from ...passes.tile.demand import (
    Demand,
    Parameter,
    Tile,
    demand,
    first_boxes,
    first_pitches,
    parameters,
    stage_pitches,
)
from ...passes.tile.geometry import MAC_ROW_BYTES, Boxes, Plan, align, extents
from .constants import Records, fixed_record, line_boxes
from .kernels import I32_LIMITS, Columns, window_columns
from .maps import FeatureMap
from .memory import Dram
from .rows import Rows, records

Array = NDArray[Any]
Operand = tuple[Array, Array]
"""Buffers and addresses."""


def element(dtype: np.dtype[Any]) -> int:
    """The Element code of a dtype."""
    return int(Element(ELEMENT_DTYPES.index(dtype)))


FETCHED_BYTES = 4096
"""Most bytes of shared parameters that all PEs together fetch from the one DRAM port that has them."""


class BlockEmitter:
    """Emits the work of one block on the processing elements `pes`; pieces name a PE by its index among them."""

    def __init__(
        self,
        rows: Rows,
        dram: Dram,
        plan: Plan,
        layer: int,
        tile: Tile,
        pes: Array,
        inputs: list[FeatureMap],
        output: FeatureMap,
        *,
        weight_slots: int = 1,
        tile_slots: int = 1,
        result_slots: int = 1,
        partial_slots: int = 1,
        relu_apart: bool = True,
        allocate: Callable[[int], int] | None = None,
    ) -> None:
        self.rows, self.dram, self.plan, self.layer = rows, dram, plan, layer
        self.tile, self.pes, self.inputs, self.output = tile, pes, inputs, output
        self.parameters: tuple[Parameter, ...] = parameters(plan)
        self.demand: Demand = demand(plan, tile)
        self.relu_apart = relu_apart
        self.identity_bias = plan.on_mac_array and any(entry.stage == 0 for entry in self.parameters)
        self._next_address = 0
        self._allocate = allocate if allocate is not None else self._next
        size, sets = self.demand, range(result_slots)
        self.first = [self._region(BufferKind.TILE, size.first) for _ in range(tile_slots)]
        self.slots = [self._region(BufferKind.WEIGHTS, size.weights + size.post) for _ in range(weight_slots)]
        self.partial = self._region(BufferKind.ACCUMULATOR, size.partial * partial_slots)
        self.result_sets = [[self._region(BufferKind.RESULT, each) for each in size.stages] for _ in sets]
        self.source_sets = [[self._region(BufferKind.TILE, each) for each in size.sources] for _ in sets]
        self.results, self.sources = self.result_sets[0], self.source_sets[0]
        self.fixed_region = self._region(BufferKind.PARAMETERS, size.fixed)
        self.fixed: Records | None = None

    def _next(self, size: int) -> int:
        """The address behind the last region."""
        address = self._next_address
        self._next_address += int(align(size, MAC_ROW_BYTES))
        return address

    def use_set(self, number: int) -> None:
        """Chooses the set of places for sums, results and second operands that the next pieces use."""
        number %= len(self.result_sets)
        self.results, self.sources = self.result_sets[number], self.source_sets[number]

    def _region(self, kind: BufferKind, size: int) -> Operand:
        """A region at the same address in every PE; an empty one is never used."""
        if size == 0:
            return np.zeros(len(self.pes), np.int64), np.zeros(len(self.pes), np.int64)
        address = np.full(len(self.pes), self._allocate(size), np.int64)
        return self.rows.buffers(self.pes, kind, self.layer, address, size), address

    def load_fixed(self, q: Array) -> None:
        """Loads the parameters that all pieces share into the PEs `q`, from the open step on.

        Long ones come from DRAM once; then the number of PEs that have them doubles with every step.
        """
        if self.fixed is None:
            self.fixed = fixed_record(self.rows, self.dram, self.layer, self.parameters)
        if self.fixed is None:
            return
        size = int(self.fixed.size[0])
        fetching = 1 if size * len(q) > FETCHED_BYTES else len(q)
        at = np.zeros(fetching, np.int64)
        buffer, address = self.fixed_region
        self.rows.transfers(
            self.layer,
            Phase.WEIGHTS,
            self.fixed.boxes(at),
            self.fixed.buffer[at],
            self.fixed.address[at],
            buffer[q[:fetching]],
            address[q[:fetching]],
        )
        have = fetching
        while have < len(q):
            takers = q[have : 2 * have]
            givers = q[: len(takers)]
            self.rows.next_step()
            self.rows.transfers(
                self.layer,
                Phase.WEIGHTS,
                line_boxes(np.full(len(takers), size)),
                buffer[givers],
                address[givers],
                buffer[takers],
                address[takers],
            )
            have += len(takers)

    def load_records(self, q: Array, found: Records, index: Array, slot: int, phase: Phase = Phase.WEIGHTS) -> None:
        """Loads records `index` into a weight slot of the PEs `q`."""
        buffer, address = self.slots[slot]
        self.rows.transfers(
            self.layer,
            phase,
            found.boxes(index),
            found.buffer[index],
            found.address[index],
            buffer[q],
            address[q],
        )

    def copy_slots(
        self, source: Array, target: Array, sizes: Array, from_slot: int, to_slot: int, phase: Phase
    ) -> None:
        """Copies records from a slot of the PEs `source` to a slot of the PEs `target`."""
        self.rows.transfers(
            self.layer,
            phase,
            line_boxes(sizes),
            self.slots[from_slot][0][source],
            self.slots[from_slot][1][source],
            self.slots[to_slot][0][target],
            self.slots[to_slot][1][target],
        )

    def mac(
        self,
        q: Array,
        boxes: Boxes,
        reduction: Array,
        weights: Operand,
        *,
        into_partial: bool = False,
        target: Operand | None = None,
        slot: int = 0,
    ) -> None:
        """MAC array tasks for `boxes` of the first stage's result, into the accumulator or the partial sums.

        With `target`, the buffers and addresses for the PEs `q`, sums go there.
        """
        plan = self.plan
        wanted = first_boxes(plan, boxes, reduction)
        a_channel, a_row, _ = first_pitches(plan, wanted)
        y_channel, y_row, _ = stage_pitches(plan, 0, boxes)
        shape: Columns = window_columns(plan.stages[0].window, wanted, boxes) | {
            "a_type": element(plan.first.dtype),
            "b_type": element(plan.weight.dtype),
            "y_type": int(Element.I32),
            "a_channel": a_channel,
            "a_row": a_row,
            "a_column": plan.first.dtype.itemsize,
            "y_channel": y_channel,
            "y_row": y_row,
            "low": I32_LIMITS[0],
            "high": I32_LIMITS[1],
        }
        match plan.core:
            case "matmul":
                channels, rows, _ = extents(boxes)
                shape |= {
                    "kernel": int(Kernel.MATMUL),
                    "channels_in": extents(wanted)[2],
                    "channels": 1,
                    "height": rows,
                    "width": channels,
                    "b_row": align(channels * plan.weight.itemsize, MAC_ROW_BYTES),
                    "b_column": plan.weight.itemsize,
                }
            case "depthwise":
                shape["kernel"] = int(Kernel.DEPTHWISE)
            case _:
                shape["kernel"] = int(Kernel.CONV)
        if target is None:
            region = self.partial if into_partial else self.results[0]
            target = region[0][q], region[1][q]
        operands = {
            "a": self.first[slot][0][q],
            "a_address": self.first[slot][1][q],
            "b": weights[0],
            "b_address": weights[1],
            "y": target[0],
            "y_address": target[1],
        }
        self.rows.tasks(self.layer, self.pes[q], Phase.COMPUTE, records(SHAPE, len(q), shape), operands)

    def accumulate(self, q: Array, boxes: Boxes, source: Operand, target: Operand | None = None) -> None:
        """Adds the partial sums at `source` to the accumulators of the PEs `q`, or to those at `target`."""
        channels, rows, columns = extents(boxes)
        pitch = stage_pitches(self.plan, 0, boxes)
        minor = self.plan.stages[0].view.minor
        shape: Columns = {
            "kernel": int(Kernel.ACCUMULATE),
            "a_type": int(Element.I32),
            "b_type": int(Element.I32),
            "y_type": int(Element.I32),
            "channels": 1 if minor else channels,
            "height": rows,
            "width": channels if minor else columns,
            "a_channel": 0 if minor else pitch[0],
            "a_row": pitch[1],
            "a_column": 4,
            "y_channel": 0 if minor else pitch[0],
            "y_row": pitch[1],
            "low": I32_LIMITS[0],
            "high": I32_LIMITS[1],
        }
        if target is None:
            target = self.results[0][0][q], self.results[0][1][q]
        self.rows.tasks(
            self.layer,
            self.pes[q],
            Phase.POST,
            records(SHAPE, len(q), shape),
            {"a": source[0], "a_address": source[1], "y": target[0], "y_address": target[1]},
        )
