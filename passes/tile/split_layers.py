"""The pass that chooses how each block is cut into pieces."""

from __future__ import annotations

import math
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
from .demand import FILTER_GROUP, Demand, Tile, accumulator_parts, demand, demands
from .geometry import MAC_ROW_BYTES, WORD_BYTES, Plan, align, core_extent, plan_block
from .rotation import plan_rotation, power_at_least, power_at_most

Array = NDArray[Any]

DRAM_BYTES_PER_CLOCK = 32
UNEVEN_STEPS = 32
"""Tiles count as equal that reach beyond the map by less than one in so many positions."""
QPE_ELEMENTS = 4
"""Processing elements of a QPE, among which parts of the weights go round without a copy."""


@frozen
class SplitLayers(Pass):
    """Writes the attribute `tile` on every block; the values computed stay the same.

    Each piece (input tile, weights, a second set of weights while they wander, 32 bit result and what follows it) fits
    the SRAM of a processing element. A convolution is cut along output channels first, in groups of four, then along
    rows and columns of the result, and along input channels only where nothing else helps; a matrix product along the
    reduction, then along its columns (Kelber, Wu et al. 2020, section 3). Of all cuts that fit, a convolution whose
    weights wander takes the one that this paper's rules prefer (see `_wanted`), any other block that with the fewest
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

    def _need_at_stride_1(self, plan: Plan, tile: Tile) -> int:
        """The same, with room for the sums that a strided convolution makes between those that it keeps."""
        made, kept = (
            rows * int(align(columns * WORD_BYTES, MAC_ROW_BYTES))
            for rows, columns in (self._run_extent(plan, tile), core_extent(plan, tile[1], tile[2]))
        )
        return self._need(plan, tile) + tile[0] * (made - kept)

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
        candidates = self._candidates(plan, reduction)
        if self.reuse and uses_reuse(plan, (1, 1, 1, reduction)):
            return self._wanted(plan, candidates)
        order = sorted(candidates, key=lambda tile: self._clocks(plan, tile))
        return next((tile for tile in order if self._need(plan, tile) <= self.sram_bytes), None)

    def _candidates(self, plan: Plan, reduction: int) -> list[Tile]:
        view = plan.view
        return [
            (channels, rows, columns, reduction)
            for channels in self._channel_sizes(plan)
            for columns in self._sizes(view.columns, plan.core == "rows")
            for rows in self._sizes(view.rows, whole=False)
        ]

    def _wanted(self, plan: Plan, candidates: list[Tile]) -> Tile | None:
        """The cut that the paper wants, if any fits.

        Of cuts that fill QPEs and double blocks, of cuts into an even number of rows of tiles, and of all cuts it is
        the one that moves the fewest bytes; of these three the one with the fewest clocks of the MAC array (else the
        fewest bytes, else the first). Then its parts of the output channels grow.
        """
        moved = self._moved(plan, candidates)
        order = sorted(candidates, key=lambda tile: self._wishes(plan, tile, moved[tile[1], tile[2]]))
        best: tuple[tuple[float, ...], Tile] | None = None
        for suits in (_fills_qpes, _comes_in_pairs, _any_number):
            suitable = (tile for tile in order if suits(*_grid(plan, tile)))
            tile = next((tile for tile in suitable if self._need_at_stride_1(plan, tile) <= self.sram_bytes), None)
            if tile is not None:
                rank = *self._first_wishes(plan, tile), self._sum_clocks(plan, tile), moved[tile[1], tile[2]]
                if best is None or rank < best[0]:
                    best = rank, tile
        return None if best is None else self._fuller(plan, best[1])

    @staticmethod
    def _moved(plan: Plan, candidates: list[Tile]) -> dict[tuple[int, int], int]:
        """Bytes of all input tiles and sums by rows and columns of the tiles.

        They hold the rows that neighbours share and what fills rows up to words of 16 bytes.
        """
        extents = sorted({(rows, columns) for _, rows, columns, _ in candidates})
        need = demands(plan, np.array([(FILTER_GROUP, *each, plan.reduction) for each in extents], np.int64))
        count = [math.prod(_grid(plan, (1, *each, 1))) for each in extents]
        groups = -(-plan.view.channels // FILTER_GROUP)
        return dict(zip(extents, (count * (need.first + groups * need.stages[0])).tolist(), strict=True))

    def _first_wishes(self, plan: Plan, tile: Tile) -> tuple[float, ...]:
        """Few idle columns of the MAC array, equal tiles, a piece for each element or nearly so."""
        columns = self._run_extent(plan, tile)[1]
        whole = self._run_extent(plan, (1, 1, plan.view.columns, 1))[1]
        tiles, parts = _counts(plan, tile)
        idle = 1 - whole / (int(align(columns, self.columns)) * -(-plan.view.columns // tile[2]))
        missing = max(power_at_most(self.elements) - power_at_least(tiles * parts), 0)
        return idle, self._uneven(plan, tile), missing

    def _wishes(self, plan: Plan, tile: Tile, moved: int) -> tuple[float, ...]:
        """What the paper wants of a cut, most important first, less is better.

        After the first wishes: no positions beyond the map, few bytes, few clocks of the MAC array, one part of the
        weights for each element at most, few tiles, of whole rows, and groups of four output channels.
        """
        channels, rows, columns, _ = tile
        tiles, parts = _counts(plan, tile)
        beyond, sets = tiles * rows * columns, -(-parts // self.elements)
        first, clocks = self._first_wishes(plan, tile), self._sum_clocks(plan, tile)
        return *first, beyond, moved, clocks, sets, tiles, -columns, channels

    def _sum_clocks(self, plan: Plan, tile: Tile) -> int:
        """Clocks of the MAC array for one tap and input channel, as pieces take a power of two of rounds."""
        height, width = self._run_extent(plan, tile)
        counts = _counts(plan, tile)
        rounds = plan_rotation(*counts, self.elements).rounds(*counts)
        return rounds * -(-tile[0] // FILTER_GROUP) * height * -(-width // self.columns)

    @staticmethod
    def _run_extent(plan: Plan, tile: Tile) -> tuple[int, int]:
        """Rows and columns of sums that the MAC array makes for a tile, which are those of stride 1."""
        rows, columns = core_extent(plan, tile[1], tile[2])
        stride = plan.stages[0].window.stride
        return (rows - 1) * stride[0] + 1, (columns - 1) * stride[1] + 1

    def _fuller(self, plan: Plan, tile: Tile) -> Tile:
        """The tile with as many output channels as leave a piece for each element and a part for each QPE."""
        for channels in reversed(self._channel_sizes(plan)):
            larger = (channels, *tile[1:])
            tiles, parts = _counts(plan, larger)
            enough = parts * min(QPE_ELEMENTS, tiles) >= power_at_most(self.elements)
            if channels > tile[0] and enough and self._need_at_stride_1(plan, larger) <= self.sram_bytes:
                return larger
        return tile

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


def _grid(plan: Plan, tile: Tile) -> tuple[int, int]:
    """Into how many tiles the rows and the columns of the map are cut."""
    return -(-plan.view.rows // tile[1]), -(-plan.view.columns // tile[2])


def _counts(plan: Plan, tile: Tile) -> tuple[int, int]:
    """Tiles of the map and parts of the output channels."""
    return math.prod(_grid(plan, tile)), -(-plan.view.channels // tile[0])


def _fills_qpes(down: int, across: int) -> bool:
    """Rows of tiles by fours and a power of two of tiles: no element of a QPE or double block goes without."""
    return down % QPE_ELEMENTS == 0 and power_at_least(down * across) == down * across


def _comes_in_pairs(down: int, across: int) -> bool:
    return down % 2 == 0


def _any_number(down: int, across: int) -> bool:
    return True


def weight_slots(plan: Plan, tile: Tile, elements: int) -> int:
    """Sets of weights that an element must hold: a second one where parts move on to others."""
    if not uses_reuse(plan, tile):
        return 1
    return 2 if plan_rotation(*_counts(plan, tile), elements).moves > 1 else 1


def uses_reuse(plan: Plan, tile: Tile) -> bool:
    """Whether the weights of a block may wander: a convolution without groups whose sums are not cut."""
    return plan.core == "conv" and plan.groups == 1 and tile[3] >= plan.reduction
