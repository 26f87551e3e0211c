"""How long a layer takes if split in some way: a guess that ranks splits before any is timed."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects import quant
from ...passes.tile.demand import FILTER_GROUP, Tile, filter_bytes, parameters
from ...passes.tile.geometry import MAC_ROW_BYTES, WORD_BYTES, Plan, Stage, core_extent
from ...runtime.spinn2.clocks import Clocks
from .teams import TeamTable

Array = NDArray[Any]

WAY = 4.5
"""Routers on an average way from a map to those who read it."""
NEAR_WAY = 2.5
"""Routers on a way between neighbours."""
SPLIT_RING = 1.5
"""More packets on the busiest router when the last neighbours of a team sit apart."""
STEP_CLOCKS = 60
"""What a step costs beside its work."""


def _extents(plan: Plan, rows: Array, columns: Array) -> list[tuple[Array, Array]]:
    """Rows and columns under so many of the block's result: of the first feature map, then of each stage's result."""
    found = [(rows, columns)]
    for window in (stage.window for stage in reversed(plan.stages)):
        rows = (rows - 1) * window.stride[0] + window.extent(0)
        columns = (columns - 1) * window.stride[1] + window.extent(1)
        found.append((rows, columns))
    return found[::-1]


@frozen
class LayerCost:
    """Estimates for one plan on one machine."""

    plan: Plan
    clocks: Clocks
    way: float = WAY
    """Routers on an average way from a map to those who read it."""
    overlap: bool = False
    """Whether readers work on what is done while the layer still makes the rest."""

    @property
    def arm_bound(self) -> bool:
        """Whether the ARM cores have more to do than the MAC arrays; what matrices have to do is wait for weights."""
        extent = [np.array(size) for size in self.plan.view.shape]
        busier = not self.plan.on_mac_array or float(self.arm(*extent)) > float(self.mac(*extent))
        return busier and self.plan.core != "matmul"

    def mac(self, channels: Array, rows: Array, columns: Array, chunks: Array | int = 1) -> Array:
        """MAC array clocks of a piece whose input comes in so many chunks."""
        plan, mac = self.plan, self.clocks.mac
        height, width = core_extent(self.plan, rows, columns)
        window = plan.stages[0].window
        if window.stride[0] not in mac.conv_strides:
            height = (height - 1) * window.stride[0] + 1
        if window.stride[1] not in mac.conv_strides:
            width = (width - 1) * window.stride[1] + 1
        taps = window.kernel[0] * window.kernel[1]
        narrow = plan.first.dtype.itemsize == 1 and plan.weight.itemsize == 1
        step = 1 if narrow else mac.clocks_per_16_bit_step
        passes = (-(-channels // FILTER_GROUP) if plan.core == "conv" else channels) * height
        stall = mac.conv_1x1_stall if taps == 1 else mac.conv_stall
        depth = taps * (plan.reduction if plan.core == "conv" else 1) * step
        lines = mac.rows if plan.core == "conv" else 1
        results = passes * lines * -(-width // 4) + mac.task_clocks
        return passes * -(-width // mac.columns) * depth * stall + results * chunks

    def added(self, channels: Array, rows: Array, columns: Array) -> Array:
        """ARM clocks for adding partial sums of a piece once."""
        height, width = core_extent(self.plan, rows, columns)
        return channels * height * width * self.clocks.arm.add

    def arm(self, channels: Array, rows: Array, columns: Array) -> Array:
        """ARM clocks of a piece; a pooling's padding counts as input, that of a convolution is left out."""
        arm = self.clocks.arm
        total = np.zeros(np.broadcast(channels, rows, columns).shape)
        extents = _extents(self.plan, rows, columns)
        for stage, (rows_in, columns_in), (height, width) in zip(self.plan.stages, extents, extents[1:], strict=False):
            count, inputs = channels * height * width, channels * rows_in * columns_in
            match stage.op:
                case quant.RescaleOp() | quant.RescaleFloatOp():
                    total = total + count * (arm.quantize + self._relu(stage))
                case quant.AddOp() | quant.AddFloatOp():
                    total = total + count * (arm.add + self._relu(stage))
                case quant.MulOp():
                    total = total + count * (arm.multiply + self._relu(stage))
                case quant.TableOp():
                    total = total + count * arm.table
                case quant.MaxPool2dOp() if stage.maxima:
                    down, right = (each - 1 for each in stage.window.kernel)
                    total = total + channels * height * (columns_in * down + width * right) * arm.maximum
                case quant.MaxPool2dOp():
                    wide = stage.dtype.itemsize == WORD_BYTES
                    total = total + inputs * (arm.max_pool_i32_input if wide else arm.max_pool_i8_input)
                case quant.AvgPool2dOp():
                    total = total + inputs * arm.average_pool_input
                case quant.SoftmaxOp():
                    total = total + count * arm.softmax
                case quant.LrnOp():
                    total = total + count * arm.lrn_term * stage.op.size
                case quant.ExtremumOp():
                    total = total + count * arm.maximum
                case _:
                    pass
        return total

    def _relu(self, stage: Stage) -> float:
        """ARM clocks of a lower limit: that of the element type costs nothing."""
        limited = isinstance(stage.op, quant.Limited) and stage.op.low > np.iinfo(stage.dtype).min
        return self.clocks.arm.relu_i8 if limited and stage.dtype.itemsize < WORD_BYTES else 0.0

    def tile_bytes(self, rows: Array, columns: Array) -> Array:
        """Bytes of the input tile under a piece."""
        plan, window = self.plan, self.plan.stages[0].window
        height, width = core_extent(self.plan, rows, columns)
        tall = (height - 1) * window.stride[0] + window.extent(0)
        wide = ((width - 1) * window.stride[1] + window.extent(1)) * plan.first.dtype.itemsize
        depth = plan.reduction if plan.core == "conv" else 1
        return depth * tall * -(-wide // MAC_ROW_BYTES) * MAC_ROW_BYTES

    def teams(self, table: TeamTable) -> Array:
        """Clocks of a convolution dealt to teams in many ways, when everything overlaps that can."""
        plan, noc, dram = self.plan, self.clocks.noc, self.clocks.dram
        channels, rows, columns, chunk = table.tile.astype(np.float64).T
        chunks, waves, rounds = table.chunks, table.waves, table.waves * table.share * table.chunks
        mac = self.mac(channels, rows, columns, chunks) / chunks
        arm = (self.arm(channels, rows, columns) + self.added(channels, rows, columns) * (chunks - 1)) / chunks
        packets = self.tile_bytes(rows, columns) / noc.packet_bytes / chunks
        window = plan.stages[0].window
        taps = window.kernel[0] * window.kernel[1]
        part = channels * chunk * taps * plan.weight.itemsize / noc.packet_bytes
        groups = -(-table.share // table.sharing) * chunks
        loads = groups * np.where(groups <= table.weight_slots, 1, waves)
        working = table.members * table.teams
        per_clock = noc.packets / noc.clocks * noc.routers
        stall = self.clocks.mac.conv_1x1_stall if taps == 1 else self.clocks.mac.conv_stall
        # Where neighbours sit in two QPEs, what they lend each other passes both routers.
        ring = np.where(table.members % table.sharing, SPLIT_RING, 1.0)
        fetched = mac / stall / self.clocks.mac.weight_request_clocks * ring
        moved = (
            working * (waves * chunks * packets * self.way + loads * part * NEAR_WAY + 2 * rounds * fetched) / per_clock
        )
        parts = -(-plan.view.channels // table.tile[:, 0])
        loaded = parts * chunks * part * noc.packet_bytes * (loads / groups)
        loaded *= dram.clocks / (dram.bytes * dram.ports)
        hops = -(-table.members // table.sharing) // 2 + 1
        handed_on = loads * hops * (part + STEP_CLOCKS)
        taken = waves * chunks * packets + loads * part
        through = np.maximum.reduce([rounds * mac, rounds * arm, moved, loaded, taken, handed_on])
        start = np.maximum(packets, working * packets * self.way / per_clock)
        # Before the first wave is done no reader can use the MAC arrays that the layer leaves idle.
        idle = np.maximum(rounds * (arm - mac), 0) / waves if self.overlap else 0
        return np.asarray(through + start + arm + idle + STEP_CLOCKS * (rounds + loads))

    def waves(self, tile: Tile, elements: int) -> float:
        """Clocks of a block whose pieces are dealt one by one."""
        plan, view, clocks = self.plan, self.plan.view, self.clocks
        channels, rows, columns = (np.asarray(each, np.float64) for each in tile[:3])
        parts = -(-view.channels // tile[0])
        if plan.core == "conv" and plan.groups > 1:
            each = view.channels // plan.groups
            parts = plan.groups * -(-each // min(tile[0], each))
            channels = np.minimum(channels, each)
        pieces = parts * -(-view.rows // tile[1]) * -(-view.columns // tile[2])
        rounds = -(-pieces // elements)
        mac = float(self.mac(channels, rows, columns)) if plan.on_mac_array else 0.0
        arm = float(self.arm(channels, rows, columns))
        depth = 1.0 if plan.core == "conv" else float(channels)
        own = float(channels) * sum(entry.record_bytes for entry in parameters(plan) if entry.per_channel)
        own += float(filter_bytes(plan, int(channels), plan.reduction))
        packets = (depth * float(self.tile_bytes(rows, columns)) + own) / clocks.noc.packet_bytes
        per_clock = clocks.noc.packets / clocks.noc.clocks * clocks.noc.routers
        noc = pieces * packets * self.way / per_clock
        loaded = pieces * own * clocks.dram.clocks / (clocks.dram.bytes * clocks.dram.ports)
        through = max(rounds * mac, rounds * arm, rounds * packets, noc, loaded)
        return through + packets + mac + arm + STEP_CLOCKS * rounds
