"""The pass that chooses how each block is cut into pieces."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ...ir.diagnostics import Diagnostic, DoesNotFit
from ...ir.dialects.builtin import ModuleOp
from ...ir.dialects.tile import BlockOp
from ...ir.rewriter import Rewriter
from ...ir.spec import INTS
from ..base import Pass, PassContext, option
from .demand import FILTER_GROUP, Demand, Tile, accumulator_parts, demand
from .geometry import Plan, core_extent, plan_block
from .rotation import plan_rotation

Array = NDArray[Any]

DRAM_BYTES_PER_CLOCK = 32
UNEVEN_STEPS = 32
"""Tiles count as equal that reach beyond the map by less than one in so many positions."""
HALO_SLACK = 9 / 8
"""Input tiles that are so much larger than the smallest count as equal."""


@frozen
class SplitLayers(Pass):
    """Writes the attribute `tile` on every block; the values computed stay the same.

    Each piece (input tile, weights, a second set of weights while they wander, 32 bit result and what follows it) fits
    the SRAM of a processing element. A convolution is cut along output channels first, in groups of four, then along
    rows and columns of the result, and along input channels only where nothing else helps; a matrix product along the
    reduction, then along its columns (Kelber, Wu et al. 2020, section 3). Of all cuts that fit, a convolution whose
    weights wander takes the one that this paper's rules prefer (see `_preferred`), any other block that with the fewest
    estimated clocks. Raises DoesNotFit for a block of which no piece fits.
    """

    name: ClassVar[str] = "split-layers"
    idempotent: ClassVar[bool] = True
    establishes: ClassVar[str | None] = "tiled"
    sram_bytes: int = option(98304, help="bytes of a processing element for data", low=1)
    elements: int = option(128, help="processing elements that compute", low=1)
    columns: int = option(16, help="output columns of the MAC array", low=1)
    accumulator_bits: int = option(32, help="bits of a sum in the MAC array", low=8, high=32)
    reuse: bool = option(True, help="weights wander between processing elements, so that two sets must fit")

    def run(self, module: ModuleOp, context: PassContext) -> None:
        rewriter = Rewriter()
        problems: list[Diagnostic] = []
        for op in module.main.body.ops:
            if not isinstance(op, BlockOp):
                continue
            try:
                tile = self.choose(plan_block(op))
            except ValueError as error:
                problems.append(
                    Diagnostic(
                        "SNC0440", "the layer cannot be cut into pieces", node=str(op.location), found=str(error)
                    )
                )
                continue
            rewriter.set_attribute(op, "tile", INTS.encode(tile))
        if problems:
            raise DoesNotFit(problems)

    def choose(self, plan: Plan) -> Tile:
        """The tile of a block; raises ValueError saying need, have and what to try when nothing fits."""
        parts = accumulator_parts(plan, self.accumulator_bits)
        reduction = -(-plan.reduction // parts)
        if plan.core == "matmul":
            return self._matrix(plan, reduction)
        while True:
            tile = self._best(plan, reduction)
            if tile is not None:
                return tile
            if plan.core != "conv" or reduction == 1:
                smallest = min(self._small(plan, reduction), key=lambda tile: self._need(plan, tile))
                raise ValueError(self._shortage(demand(plan, smallest), self._slots(plan, smallest)))
            half = -(-reduction // 2)
            reduction = -(-half // FILTER_GROUP) * FILTER_GROUP if reduction > FILTER_GROUP else half

    def _shortage(self, need: Demand, weight_slots: int = 1) -> str:
        parts = {
            "input tile": need.first,
            "weights": (need.weights + need.post) * weight_slots,
            "32 bit sums and results": need.partial + sum(need.stages),
            "second operands": sum(need.sources),
            "tables": need.fixed,
        }
        listed = ", ".join(f"{name} {size} bytes" for name, size in parts.items() if size)
        total = need.total(weight_slots=weight_slots)
        return (
            f"the smallest piece needs {total} bytes ({listed}), a processing element has {self.sram_bytes}; "
            "try 8 bits, a smaller input (--shape) or a machine with more SRAM (--machine)"
        )

    def _small(self, plan: Plan, reduction: int) -> list[Tile]:
        """Tiles of few channels, of which one needs least; larger ones may do without a second set of weights."""
        view = plan.view
        columns = view.columns if plan.core == "rows" else 1
        channels = view.channels if plan.core == "channels" else min(view.channels, FILTER_GROUP)
        few = min(self._channel_sizes(plan))
        return [
            (channels, 1, columns, reduction),
            *(tile for tile in self._candidates(plan, reduction) if tile[0] == few),
        ]

    def _need(self, plan: Plan, tile: Tile) -> int:
        """Bytes of a processing element for a tile."""
        return demand(plan, tile).total(weight_slots=self._slots(plan, tile))

    def _matrix(self, plan: Plan, reduction: int) -> Tile:
        """Cut the reduction so that weights stream through all elements, then the columns of the result."""
        view = plan.view
        rows = min(view.rows, FILTER_GROUP)
        for width in (128, 64, 32, 16, 4, 1):
            columns = min(view.channels, width)
            for length in (512, 256, 128, 64, 16, 4, 1):
                tile = (columns, rows, 1, min(reduction, length))
                if demand(plan, tile).total(weight_slots=1) <= self.sram_bytes // 2:
                    return tile
        need = demand(plan, (1, rows, 1, 1))
        if need.total(weight_slots=1) <= self.sram_bytes:
            return 1, rows, 1, 1
        raise ValueError(self._shortage(need))

    def _best(self, plan: Plan, reduction: int) -> Tile | None:
        wander = self.reuse and uses_reuse(plan, (1, 1, 1, reduction))
        candidates = self._candidates(plan, reduction)
        order = {tile: self._wishes(plan, tile) if wander else (self._clocks(plan, tile),) for tile in candidates}
        best: list[Tile] = []
        for tile in sorted(candidates, key=lambda each: order[each]):
            if best and order[tile] > order[best[0]]:
                break
            if self._need(plan, tile) <= self.sram_bytes:
                best.append(tile)
        if not best:
            return None
        return self._preferred(plan, best) if wander else best[0]

    def _candidates(self, plan: Plan, reduction: int) -> list[Tile]:
        view = plan.view
        return [
            (channels, rows, columns, reduction)
            for channels in self._channel_sizes(plan)
            for columns in self._sizes(view.columns, plan.core == "rows")
            for rows in self._sizes(view.rows, whole=False)
        ]

    def _wishes(self, plan: Plan, tile: Tile) -> tuple[float, ...]:
        """What the paper wants of a cut, most important first, less is better.

        The share of MAC array columns that idle; equal tiles; clocks of the MAC array, as pieces are computed in powers
        of two of rounds; one part of the weights for each element at most; as few cuts of the map as that allows;
        groups of four output channels.
        """
        channels, rows, columns, _ = tile
        view, window = plan.view, plan.stages[0].window
        height, width = core_extent(plan, rows, columns)
        tiles, parts = -(-view.rows // rows) * -(-view.columns // columns), -(-view.channels // channels)
        width, whole = (each * window.stride[1] for each in (width, core_extent(plan, 1, view.columns)[1]))
        filled = -(-width // self.columns) * self.columns
        idle = 1 - whole / (filled * -(-view.columns // columns))
        rounds = plan_rotation(tiles, parts, self.elements).rounds(tiles, parts)
        sets = -(-parts // self.elements)
        taps = int(np.prod(plan.weight.shape[2:]))
        passes = -(-channels // FILTER_GROUP) * height * window.stride[0] * filled
        return idle, self._uneven(plan, tile), rounds * passes * taps * plan.reduction, sets, tiles, channels

    def _uneven(self, plan: Plan, tile: Tile) -> int:
        """Positions beyond the map in the last tiles, in UNEVEN_STEPS of the map; single rows or columns are worst.

        Under a window of more than one position those are mostly halo.
        """
        view, window = plan.view, plan.stages[0].window
        extents = core_extent(plan, tile[1], tile[2])
        for axis, (extent, whole) in enumerate(zip(extents, (view.rows, view.columns), strict=True)):
            if extent == 1 and whole > 1 and window.kernel[axis] > 1:
                return UNEVEN_STEPS
        covered = -(-view.rows // tile[1]) * tile[1] * -(-view.columns // tile[2]) * tile[2]
        return (covered - view.rows * view.columns) * UNEVEN_STEPS // (view.rows * view.columns)

    def _preferred(self, plan: Plan, tiles: list[Tile]) -> Tile:
        """Of cuts that are equal otherwise: little halo, and where that hardly differs, whole rows of the map."""
        sizes = {tile: demand(plan, tile).first for tile in tiles}
        least = min(sizes.values())
        near = [tile for tile in tiles if sizes[tile] <= least * HALO_SLACK]
        return max(near, key=lambda tile: (tile[2], -sizes[tile]))

    def _slots(self, plan: Plan, tile: Tile) -> int:
        return weight_slots(plan, tile, self.elements) if self.reuse else 1

    def _channel_sizes(self, plan: Plan) -> list[int]:
        channels = plan.view.channels
        if plan.core == "channels":
            return [channels]
        if plan.core == "conv":
            channels //= plan.groups
        sizes = {channels} | {size for size in (4, 8, 16, 32, 64, 128, 256) if size < channels}
        return sorted(sizes)

    @staticmethod
    def _sizes(extent: int, whole: bool) -> list[int]:
        """Tile sizes along one axis: one for each number of equal parts."""
        if whole:
            return [extent]
        return sorted({-(-extent // parts) for parts in range(1, min(extent, 64) + 1)}, reverse=True)

    def _clocks(self, plan: Plan, tile: Tile) -> float:
        """Estimated clocks of the block: bytes in, MAC array and ARM work of the busiest element, bytes out."""
        view = plan.view
        channels, rows, columns, reduction = tile
        spatial = -(-view.rows // rows) * -(-view.columns // columns)
        parts = -(-view.channels // channels)
        stage = plan.stages[0]
        height, width = core_extent(plan, rows, columns)
        window = stage.window
        tall = (height - 1) * window.stride[0] + window.extent(0)
        wide = -(-((width - 1) * window.stride[1] + window.extent(1)) // 16) * 16
        depth = reduction if plan.core == "conv" else channels
        tile_bytes = depth * tall * wide * plan.first.dtype.itemsize
        work = channels * height * width * 30.0
        if plan.core in ("conv", "depthwise"):
            taps = int(np.prod(plan.weight.shape[2:]))
            sums = (
                -(-channels // FILTER_GROUP) * height * window.stride[0] * window.stride[1] * -(-width // self.columns)
            )
            work += sums * taps * (plan.reduction if plan.core == "conv" else FILTER_GROUP)
        rounds = -(-spatial * parts // self.elements)
        weight_bytes = channels * depth * int(np.prod(plan.weight.shape[2:])) if plan.core == "conv" else 0
        return rounds * work + spatial * parts * (tile_bytes + weight_bytes) / DRAM_BYTES_PER_CLOCK


def weight_slots(plan: Plan, tile: Tile, elements: int) -> int:
    """Sets of weights that an element must hold: a second one where parts move on to others."""
    if not uses_reuse(plan, tile):
        return 1
    tiles = -(-plan.view.rows // tile[1]) * -(-plan.view.columns // tile[2])
    return 2 if plan_rotation(tiles, -(-plan.view.channels // tile[0]), elements).moves > 1 else 1


def uses_reuse(plan: Plan, tile: Tile) -> bool:
    """Whether the weights of a block may wander: a convolution without groups whose sums are not cut."""
    return plan.core == "conv" and plan.groups == 1 and tile[3] >= plan.reduction
