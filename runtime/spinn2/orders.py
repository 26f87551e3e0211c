"""The orders of a host that tells elements what to load and copy, one after the other."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import BufferKind, Phase
from .clocks import Clocks, Integers
from .program import Program
from .touches import field


@frozen(eq=False)
class Orders:
    """The transfers for which elements wait until they are ordered, and how the host counts: all int64.

    An order of a step is for one memory that gets something, by all `rows` of the transfers table that bring it; its
    `number` [rows], from 1, is by the first of them, and `first` [orders] holds these.
    """

    rows: Integers
    number: Integers
    first: Integers

    @classmethod
    def of(cls, program: Program, source: Integers, target: Integers, clocks: Clocks) -> Orders:
        """The orders of a program, whose transfers go from memories `source` (-1 for none) to memories `target`.

        Sums and results are sent without one; and who has got weights or inputs is told to hand them on while others
        still get theirs. There are no orders at all where elements have lists of their transfers.
        """
        transfers, elements = program.transfers, clocks.processing_elements
        kept, weights = (
            np.isin(transfers["src"], np.flatnonzero(program.buffers["kind"] == kind))
            for kind in (BufferKind.MAP, BufferKind.WEIGHTS)
        )
        loaded = (source < 0) | (source >= elements) | kept
        moved = weights & (transfers["phase"] == Phase.MIGRATION)
        rows = np.flatnonzero((loaded | moved) & clocks.host.orders_transfers)
        memories = elements + clocks.dram.ports
        key = field(transfers, "step")[rows] * memories + target[rows]
        found, first, which = np.unique(key, return_index=True, return_inverse=True)
        order = np.lexsort([first, found // memories])
        step = found[order] // memories
        number = np.zeros(len(found), np.int64)
        number[order] = np.arange(len(found)) - np.searchsorted(step, step) + 1
        return cls(rows, number[which], rows[first])
