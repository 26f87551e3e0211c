"""Which convolutions find their input tile packed already: the inputs stay while weights wander.

A convolution packs its tile for whole vectors first. Tasks of one memory that read the same tile in the same way, with
no write to it in between, share the packed tile, which then has a place of its own in an arena.
"""

from __future__ import annotations

import numpy as np
from attrs import frozen

from ...ir.dialects.spinn2_tables import Kernel
from .groups import Integers
from .program import Program
from .touches import Operand, box_touches, extents, is_kernel, shape_touches

ARENA_LIMIT_BYTES = 1 << 28
"""No tiles are kept for programs that would need more."""


@frozen(eq=False)
class PackedTiles:
    """`place`: byte in the arena where each task's packed tile lies, -1 where it is packed for the task alone;
    `kept`: whether it lies there already; `arena`: bytes in all."""

    place: Integers
    kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    arena: int


def packed_tiles(program: Program, addresses: Integers, targets: Integers, tile_bytes: int) -> PackedTiles:
    """The plan for a valid program.

    `addresses` (int64[tasks, 4]) and `targets` (int64[transfers]) are image addresses of task operands and of what
    transfers write; `tile_bytes` is the room that the largest packed tile needs.
    """
    tasks, shapes = program.tasks, program.shapes
    count = len(tasks)
    nowhere = PackedTiles(np.full(count, -1, np.int64), np.zeros(count, bool), 0)
    conv = np.flatnonzero(is_kernel(shapes, Kernel.CONV)[tasks["shape"]])
    if not conv.size:
        return nowhere
    low, high, _ = extents(shape_touches(shapes), len(shapes))
    start = addresses[conv, Operand.A] + low[tasks["shape"][conv], Operand.A]
    end = addresses[conv, Operand.A] + high[tasks["shape"][conv], Operand.A]
    memory = program.buffers["memory"][tasks["a"][conv]].astype(np.int64)
    step = tasks["step"][conv].astype(np.int64)
    order = np.lexsort([step, memory])
    conv, start, end, memory, step = (column[order] for column in (conv, start, end, memory, step))
    key = _key(memory, step)
    alone = np.diff(key, prepend=-1) > 0
    alone[:-1] &= alone[1:]
    memories, slot = np.unique(memory, return_inverse=True)
    if memories.size * tile_bytes > ARENA_LIMIT_BYTES:
        return nowhere
    same = np.zeros(conv.size, bool)
    same[1:] = (memory[1:] == memory[:-1]) & (start[1:] == start[:-1]) & alone[1:] & alone[:-1]
    same[1:] &= tasks["shape"][conv[1:]] == tasks["shape"][conv[:-1]]
    same[_rewritten(program, addresses, targets, key, start, end, (low, high))] = False
    shared = same.copy()
    shared[:-1] |= same[1:]
    place, kept = nowhere.place, nowhere.kept
    place[conv[shared]] = slot[shared] * tile_bytes
    kept[conv] = same
    return PackedTiles(place, kept, int(memories.size) * tile_bytes)


def _key(memory: Integers, step: Integers) -> Integers:
    """One number that orders by memory, then step."""
    return memory << 32 | step


def _rewritten(
    program: Program,
    addresses: Integers,
    targets: Integers,
    key: Integers,
    start: Integers,
    end: Integers,
    shape_extents: tuple[Integers, Integers],
) -> Integers:
    """Indices of the convolutions (sorted by `key`) whose tile [start, end) is written after the one before them.

    A write belongs to the first convolution of its memory at a later step.
    """
    tasks, transfers = program.tasks, program.transfers
    low, high, _ = extents(box_touches(program.boxes, program.offsets.astype(np.int64)), len(program.boxes))
    writes = (
        (tasks["y"], tasks["step"], addresses[:, Operand.Y], shape_extents, tasks["shape"]),
        (transfers["dst"], transfers["step"], targets, (low, high), transfers["box"]),
    )
    found = []
    for buffer, step, base, (first, last), record in writes:
        memory = program.buffers["memory"][buffer].astype(np.int64)
        reader = np.searchsorted(key, _key(memory, step.astype(np.int64)), side="right")
        inside = reader < len(key)
        inside[inside] &= key[reader[inside]] >> 32 == memory[inside]
        reader, at, row = reader[inside], base[inside], record[inside]
        hits = (at + first[row, Operand.Y] < end[reader]) & (at + last[row, Operand.Y] > start[reader])
        found.append(reader[hits])
    return np.concatenate(found)
