"""Operand a of the MAC kernels in scratch memory, laid out so that inner loops read whole vectors.

A tile becomes [row phase][column phase][groups_in][...][plane]: a *phase* holds the rows (columns) that are congruent
modulo the stride, so that neighbouring outputs read neighbouring positions; a *plane* is packed_height rows of
packed_width positions. Outputs are numbered along the plane too: output (i, j) is position i * packed_width + j, and
what falls between two rows is computed and dropped. The table of taps holds, for each kernel position and group of
channels, how far its first position lies from the start.
"""

from __future__ import annotations

from collections.abc import Callable

from ....ir.dialects.spinn2_tables import Element
from ...jit.code import I8, I32, Value, vector
from .common import INTS, Frame
from .layout import LANES, Slot
from .pool import strided

QUADS = vector(I8, 4 * LANES)
BYTES = vector(I8, LANES)


def unless_packed(frame: Frame, pack: Callable[[], None]) -> None:
    """Pack the tile unless an earlier command has."""
    frame.either(frame.slot(Slot.KEPT).equals(1), lambda: None, pack)


def list_taps(frame: Frame, planes: int) -> None:
    """Fill the table of taps; a group of channels takes `planes` planes of 4 byte positions."""
    kernel_h, kernel_w, groups = frame.fields("kernel_h", "kernel_w", "groups_in")
    phases_h, phases_w, plane = frame.fields("phases_h", "phases_w", "plane")
    group_bytes = plane * (4 * planes)
    table = frame.slot(Slot.TAPS)

    def fill() -> None:
        frame.set_slot(Slot.TAPS_RECORD, frame.record)
        next_ = frame.variable(table)
        with frame.loop(kernel_h) as u, frame.loop(kernel_w) as v:
            phase = u.remainder(phases_h) * phases_w + v.remainder(phases_w)
            row = (u * frame["dilation_h"]).quotient(frame["stride_h"])
            column = (v * frame["dilation_w"]).quotient(frame["stride_w"])
            start = phase * groups * group_bytes + (row * frame["packed_width"] + column) * 4
            with frame.loop(groups) as group:
                frame.store(next_.get(), start + group * group_bytes)
                next_.set(next_.get() + 8)

    frame.either(frame.slot(Slot.TAPS_RECORD).equals(frame.record), lambda: None, fill)


class Phases:
    """Loops over the phases of a tile and over the rows that each of them holds."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.stride_h, self.stride_w = frame.fields("stride_h", "stride_w")
        self.last_row = (frame["height"] - 1) * self.stride_h + (frame["kernel_h"] - 1) * frame["dilation_h"]
        self.last_column = (frame["width"] - 1) * self.stride_w + (frame["kernel_w"] - 1) * frame["dilation_w"]

    def each(self, body: Callable[[Value, Value, Value, Value], None]) -> None:
        """body(number of the phase, its first row, its first column, its columns)."""
        frame = self.frame
        phases_h, phases_w = frame.fields("phases_h", "phases_w")
        with frame.loop(phases_h) as u, frame.loop(phases_w) as v:
            row = (u * frame["dilation_h"]).remainder(self.stride_h)
            column = (v * frame["dilation_w"]).remainder(self.stride_w)
            exact = (self.last_column - column).quotient(self.stride_w) + 1
            # With stride 1 every column is there, and joined rows count more columns than one row has.
            columns = self.stride_w.equals(1).select(frame["packed_columns"], frame["packed_columns"].min(exact))
            body(u * phases_w + v, row, column, columns)

    def rows(self, first: Value) -> Value:
        """How many rows the phase that starts at row `first` holds."""
        exact = (self.last_row - first).quotient(self.stride_h) + 1
        return self.frame["packed_rows"].min(exact)


def pack_quads(frame: Frame) -> None:
    """Pack an 8 bit tile as [phases][groups_in][plane][4 channels] unsigned bytes.

    Signed bytes are offset by 128. Channels beyond the tile read as value 0, so that filter padding, whatever it
    holds, contributes nothing.
    """
    phases = Phases(frame)
    flip = frame["a_type"].equals(Element.I8).select(frame.number(0x8080808080808080 - (1 << 64)), 0)
    flip_all = flip.splat(8).bits(QUADS)
    groups, plane, channels = frame.fields("groups_in", "plane", "channels_in")
    pitch, row_pitch = frame.fields("a_channel", "a_row")
    packed, width = frame.slot(Slot.PACKED), frame["packed_width"]

    def phase(number: Value, first_row: Value, first_column: Value, columns: Value) -> None:
        rows = phases.rows(first_row)
        step = row_pitch * phases.stride_h

        def quads(group: Value, whole: bool) -> None:
            """Pack four channels; unless they are `whole`, those beyond the tile come from zeros, at no pitch."""
            first = frame.a + group * pitch * 4 + first_row * row_pitch + first_column
            real = [None if whole else group * 4 + n < channels for n in range(4)]
            lines = [
                line if r is None else r.select(line, frame.zeros)
                for n, r in enumerate(real)
                for line in [first + pitch * n]
            ]
            masks = [None if r is None else r.select(frame.number(-1), 0) for r in real]
            target = packed + (number * groups + group) * plane * 4

            def sources(row: Value, at: Value) -> list[Value]:
                moves = [row * step if mask is None else row * step & mask for mask in masks]
                moves = [m + (at if mask is None else at & mask) for m, mask in zip(moves, masks, strict=True)]
                return [line + move for line, move in zip(lines, moves, strict=True)]

            def dense() -> None:
                with frame.loop(rows) as row, frame.loop(columns, step=LANES) as at:
                    interleave(target + (row * width + at) * 4, [frame.load(s, BYTES) for s in sources(row, at)])

            def halves() -> None:
                pairs = vector(I8, 2 * LANES)
                with frame.loop(rows) as row, frame.loop(columns, step=LANES) as at:
                    both = [frame.load(s, pairs) for s in sources(row, at * 2)]
                    parts = [pair.shuffle(pair, range(0, 2 * LANES, 2)) for pair in both]
                    interleave(target + (row * width + at) * 4, parts)

            def single() -> None:
                flip_one = flip.to(I8)
                with frame.loop(rows) as row, frame.loop(columns) as at:
                    for n, source in enumerate(sources(row, at * phases.stride_w)):
                        frame.store(target + (row * width + at) * 4 + n, frame.load(source, I8) ^ flip_one)

            frame.either(
                phases.stride_w.equals(1), dense, lambda: frame.either(phases.stride_w.equals(2), halves, single)
            )

        whole = channels.logical_shift(2)
        with frame.loop(whole) as group:
            quads(group, True)
        with frame.loop(groups, start=whole) as group:
            quads(group, False)

    def interleave(out: Value, parts: list[Value]) -> None:
        # Words of one lane of 128 bits come from the same four positions; then bytes move within lanes only.
        words = [part.bits(vector(I32, 4)) for part in parts]
        low, high = (a.shuffle(b, range(8)) for a, b in (words[:2], words[2:]))
        mixed = low.shuffle(high, [4 * n + lane for lane in range(4) for n in range(4)]).bits(QUADS)
        order = [16 * lane + 4 * n + at for lane in range(4) for at in range(4) for n in range(4)]
        frame.store(out, mixed.shuffle(mixed, order) ^ flip_all)

    phases.each(phase)


def pack_ints(frame: Frame, tile: Value, channels: Value, planes: int) -> None:
    """Pack `channels` channels from `tile` on as [phases][groups_in][planes][plane] i32; missing channels are 0."""
    phases = Phases(frame)
    groups, plane = frame.fields("groups_in", "plane")
    kind, pitch, row_pitch, size = frame.fields("a_type", "a_channel", "a_row", "a_size")
    packed, line = frame.slot(Slot.PACKED), frame.slot(Slot.ROW)
    width = frame["packed_width"]

    def phase(number: Value, first_row: Value, first_column: Value, columns: Value) -> None:
        rows = phases.rows(first_row)
        with frame.loop(groups * planes) as channel:
            target = packed + (number * groups * planes + channel) * plane * 4

            def real() -> None:
                source = tile + channel * pitch + first_row * row_pitch + first_column * size
                step = row_pitch * phases.stride_h

                def dense() -> None:
                    with frame.loop(rows) as row:
                        frame.widen(kind, source + row * step, 0, size, 1, columns, target + row * width * 4)

                def apart() -> None:
                    with frame.loop(rows) as row:
                        spread = (columns - 1) * phases.stride_w + 1
                        frame.widen(kind, source + row * step, 0, size, 1, spread, line)
                        with frame.loop(columns, step=LANES) as at:
                            value = strided(frame, line + at * phases.stride_w * 4, phases.stride_w)
                            frame.store(target + (row * width + at) * 4, value)

                frame.either(phases.stride_w.equals(1), dense, apart)

            def missing() -> None:
                with frame.loop(plane, step=LANES) as at:
                    frame.store(target + at * 4, frame.constant(INTS, 0))

            frame.either(channel < channels, real, missing)

    phases.each(phase)
