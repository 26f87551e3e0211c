"""How long a layer takes if split in some way: a guess that ranks splits before any is timed."""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.dialects import quant
from ...passes.tile.demand import FILTER_GROUP, Tile
from ...passes.tile.geometry import MAC_ROW_BYTES, Plan
from ...runtime.spinn2.clocks import Clocks
from .teams import TeamSplit

Array = NDArray[Any]

WAY = 6.5
"""Routers on an average way through the mesh."""
NEAR_WAY = 2.5
"""Routers on a way between neighbours."""
SPLIT_RING = 1.5
"""More packets on the busiest router when the last neighbours of a team sit apart."""
STEP_CLOCKS = 60
"""What a step costs beside its work."""


@frozen
class LayerCost:
    """Estimates for one plan on one machine."""

    plan: Plan
    clocks: Clocks

    def core_extent(self, rows: Array, columns: Array) -> tuple[Array, Array]:
        """Rows and columns of the first stage's result under so many of the block's result."""
        for stage in self.plan.stages[1:]:
            rows, columns = rows * stage.window.stride[0], columns * stage.window.stride[1]
        return rows, columns

    def mac(self, channels: Array, rows: Array, columns: Array) -> Array:
        """MAC array clocks of a piece."""
        plan, mac = self.plan, self.clocks.mac
        height, width = self.core_extent(rows, columns)
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
        return passes * -(-width // mac.columns) * depth * stall + passes * lines * -(-width // 4) + mac.task_clocks

    def arm(self, channels: Array, rows: Array, columns: Array) -> Array:
        """ARM clocks of a piece, padding left out."""
        arm = self.clocks.arm
        total = np.zeros(np.broadcast(channels, rows, columns).shape)
        outputs = channels * rows * columns
        height, width = self.core_extent(rows, columns)
        inside = channels * height * width
        pooled = False
        for stage in self.plan.stages:
            count = outputs if pooled else inside
            match stage.op:
                case quant.RescaleOp() | quant.RescaleFloatOp():
                    total = total + count * arm.quantize
                case quant.AddOp() | quant.AddFloatOp():
                    total = total + count * arm.add
                case quant.MulOp():
                    total = total + count * arm.multiply
                case quant.TableOp():
                    total = total + count * arm.table
                case quant.MaxPool2dOp():
                    total = total + inside * arm.max_pool_i8_input
                    pooled = True
                case quant.AvgPool2dOp():
                    total = total + inside * arm.average_pool_input
                    pooled = True
                case quant.SoftmaxOp():
                    total = total + count * arm.softmax
                case quant.LrnOp():
                    total = total + count * arm.lrn_term * stage.op.size
                case quant.ExtremumOp():
                    total = total + count * arm.maximum
                case _:
                    pass
        return total

    def tile_bytes(self, rows: Array, columns: Array) -> Array:
        """Bytes of the input tile under a piece."""
        plan, window = self.plan, self.plan.stages[0].window
        height, width = self.core_extent(rows, columns)
        tall = (height - 1) * window.stride[0] + window.extent(0)
        wide = ((width - 1) * window.stride[1] + window.extent(1)) * plan.first.dtype.itemsize
        depth = plan.reduction if plan.core == "conv" else 1
        return depth * tall * -(-wide // MAC_ROW_BYTES) * MAC_ROW_BYTES

    def teams(self, split: TeamSplit) -> float:
        """Clocks of a convolution dealt to teams, when everything overlaps that can."""
        plan, clocks = self.plan, self.clocks
        channels, rows, columns = (np.asarray(each, np.float64) for each in split.tile[:3])
        parts = -(-plan.view.channels // split.tile[0])
        share = -(-parts // split.teams)
        waves = split.waves(plan)
        rounds = waves * share
        mac, arm = float(self.mac(channels, rows, columns)), float(self.arm(channels, rows, columns))
        packets = float(self.tile_bytes(rows, columns)) / clocks.noc.packet_bytes
        taps = plan.stages[0].window.kernel[0] * plan.stages[0].window.kernel[1]
        part = split.tile[0] * plan.reduction * taps * plan.weight.itemsize / clocks.noc.packet_bytes
        groups = -(-share // split.sharing)
        loads = groups * (1 if groups <= split.weight_slots else waves)
        working = split.members * split.teams
        per_clock = clocks.noc.packets / clocks.noc.clocks * clocks.noc.routers
        fetched = (
            mac / (clocks.mac.conv_1x1_stall if taps == 1 else clocks.mac.conv_stall) / clocks.mac.weight_request_clocks
        )
        # Where neighbours sit in two QPEs, what they lend each other passes both routers.
        fetched *= SPLIT_RING if split.members % split.sharing else 1
        noc = working * (waves * packets * WAY + loads * part * NEAR_WAY + 2 * rounds * fetched) / per_clock
        dram = parts * part * clocks.noc.packet_bytes * (loads / groups) / clocks.dram.bytes * clocks.dram.clocks
        dram /= clocks.dram.ports
        rings = -(-split.members // split.sharing)
        handed_on = loads * rings * (part + STEP_CLOCKS)
        through = max(rounds * mac, rounds * arm, noc, dram, waves * packets + loads * part, handed_on)
        start = max(packets, working * packets * WAY / per_clock)
        return through + start + arm + STEP_CLOCKS * (rounds + loads)

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
        packets = depth * float(self.tile_bytes(rows, columns)) / clocks.noc.packet_bytes
        per_clock = clocks.noc.packets / clocks.noc.clocks * clocks.noc.routers
        noc = pieces * packets * WAY / per_clock
        through = max(rounds * mac, rounds * arm, rounds * packets, noc)
        return through + packets + mac + arm + STEP_CLOCKS * rounds
