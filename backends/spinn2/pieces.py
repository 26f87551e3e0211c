"""The paper's baseline: every piece is fetched from DRAM, computed by one processing element and written back.

The elements of a quadrant go in step; quadrants do not wait for each other, so that some compute while others use DRAM
(Kelber, Wu et al. 2020, section 4).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from attrs import define
from numpy.typing import NDArray

from ...passes.tile.geometry import MAC_ROW_BYTES, Boxes, grid_bounds, stage_boxes
from .constants import Records
from .emit import BlockEmitter, Operand
from .stages import Post, process, store
from .tile_loads import load_first, load_sources
from .waves import channel_parts, part_spans, result_grid

Array = NDArray[Any]


def schedule_pieces(emitter: BlockEmitter, quadrants: list[Array]) -> None:
    """All pieces of a block, dealt to the PEs in turn; `quadrants` are the PEs that go in step.

    Each span of the reduction is a turn: all quadrants compute, then each stores what it has finished and loads the
    operands of its next turn. Rows are in the order in which the NoC and DRAM shall serve them.
    """
    plan, rows = emitter.plan, emitter.rows
    boxes, part = result_grid(plan, emitter.tile)
    spans = grid_bounds(plan.reduction, emitter.tile[3])
    records = part_spans(emitter, channel_parts(boxes, part), spans)
    # Neighbours work on different tiles and different channels, so that all ports are in use.
    parts = int(part.max()) + 1
    tile = np.arange(len(boxes)) % (len(boxes) // parts)
    order = np.lexsort([tile, (part - tile) % parts])
    boxes, part = boxes[order], part[order]
    count = len(emitter.pes)
    turns = -(-len(boxes) // count) * len(spans)
    rows.next_step()
    emitter.load_fixed(np.arange(min(count, len(boxes))))
    teams = [_Team(emitter, boxes, part, spans, records, q, count, (rows.step,)) for q in quadrants]
    in_turn = _stores_share_words(emitter)
    stored: tuple[int, ...] = ()
    for turn in range(turns + 1):
        if turn:
            for team in teams:
                team.compute(turn - 1)
        for team in teams:
            here = team.transfer(turn, stored)
            stored = here or stored if in_turn else ()
    rows.follow(step for team in teams for step in team.last)


def _stores_share_words(emitter: BlockEmitter) -> bool:
    """Whether results of two pieces may lie in one word of DRAM, so that their stores must follow each other."""
    output, view = emitter.output, emitter.plan.view
    row, part = view.columns * output.itemsize, emitter.tile[2] * output.itemsize
    return view.minor or row % MAC_ROW_BYTES > 0 or part % MAC_ROW_BYTES > 0


@define(eq=False)
class _Team:
    """PEs in step. Piece n of the block is for PE n % `count`; a piece takes a turn for each span of the reduction."""

    emitter: BlockEmitter
    boxes: Boxes
    part: Array
    spans: Array
    records: Records | None
    pes: Array
    count: int
    last: tuple[int, ...]
    """The last steps of these PEs."""
    finished: tuple[Operand, tuple[Array, Array]] | None = None

    def _pieces(self, turn: int) -> Array:
        """The pieces of a turn; the last PEs may have none."""
        index = turn // len(self.spans) * self.count + self.pes
        return index[index < len(self.boxes)]

    def compute(self, turn: int) -> None:
        """The sums of a turn and, behind the last span, all that follows them."""
        index, span = self._pieces(turn), turn % len(self.spans)
        if not index.size:
            return
        emitter, found, q = self.emitter, self.records, self.pes[: len(index)]
        boxes = self.boxes[index]
        core = stage_boxes(emitter.plan, boxes)[0]
        record = self.part[index] * len(self.spans) + span
        post: Post | None = None
        emitter.rows.follow(self.last)
        if found is not None:
            post = Post((emitter.slots[0][0][q], emitter.slots[0][1][q]), found, record)
        if post is not None and emitter.plan.on_mac_array:
            emitter.rows.next_step()
            reduction = np.broadcast_to(self.spans[span], (len(q), 2))
            weights = (post.place[0], post.place[1] + post.records.weights[record])
            emitter.mac(q, core, reduction, weights, into_partial=span > 0)
            if span:
                emitter.rows.next_step()
                emitter.accumulate(q, core, (emitter.partial[0][q], emitter.partial[1][q]))
        if span == len(self.spans) - 1:
            self.finished = process(emitter, q, boxes, post)
        self.last = (emitter.rows.step,)

    def transfer(self, turn: int, stored: tuple[int, ...]) -> tuple[int, ...]:
        """Stores what the turn before has finished, behind the steps `stored`, and loads the operands of this turn.

        Returns the step of the store, if there is one.
        """
        rows, computed = self.emitter.rows, self.last
        here: tuple[int, ...] = ()
        if self.finished is not None:
            before = self._pieces(turn - 1)
            here = (rows.next_step((*computed, *stored)),)
            store(self.emitter, self.pes[: len(before)], self.boxes[before], *self.finished)
            self.finished = None
        self.last = here or computed
        index = self._pieces(turn)
        if index.size:
            rows.next_step(computed)
            self._load(index, turn % len(self.spans))
            self.last = (*here, rows.step)
        return here

    def _load(self, index: Array, span: int) -> None:
        """The operands of the pieces `index`, from the open step on."""
        emitter, q, boxes = self.emitter, self.pes[: len(index)], self.boxes[index]
        if self.records is not None:
            emitter.load_records(q, self.records, self.part[index] * len(self.spans) + span, 0)
        if span == 0:
            load_sources(emitter, q, boxes)
        core = stage_boxes(emitter.plan, boxes)[0]
        load_first(emitter, q, core, np.broadcast_to(self.spans[span], (len(q), 2)))
