"""Deals samples to tiles, and cuts the run of a tile into pieces that can be executed side by side.

A piece may start anywhere in a run: what a neuron does in step t depends only on source spikes of the steps t - history
to t, where `history` is the longest way through the network, in steps. For say that execution starts with empty ring
buffers in step s, with the sample that starts then. Let h of a source neuron be the step that it is due in: from step
s + h on, none of its spikes belongs to a sample that was left out. Let h of another neuron be the maximum of delay + h
of the neuron before over its synapses (0 without any). V of step t is made of the spikes of neurons i in steps
t - delay; for t >= s + h all of these steps lie at or behind s + h(i), where neuron i is right by induction, and a
neuron keeps nothing from step to step. So from step s + history on every neuron is right. A network with a cycle has
no such history and is not cut.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from .checks import Integers
from .netlist import Netlist

LANES = 64
BYTE = 8
MAX_PIECE = 256
"""Samples of a piece, where runs may be cut: what is recorded of a piece grows with its length."""


def deal(samples: int, tiles: int) -> Integers:
    """First sample of each tile that gets one, and behind them `samples`: contiguous shares, as equal as can be."""
    used = max(1, min(samples, tiles))
    return np.arange(used + 1, dtype=np.int64) * samples // used


@frozen(eq=False)
class Pieces:
    """Pieces of runs; int64[pieces] each.

    Piece k owns the samples `begin` to `end` of its tile's `samples`, of which sample 0 is number `first` of the batch.
    It is executed from sample `begin - warm_up` on (what lies before sample 0 stays empty) and on behind its end until
    its last output is due. Statistics count the steps from the start of `begin` to the start of `end`, in the last
    piece of a run to the end of the run.
    """

    warm_up: int
    first: Integers
    samples: Integers
    begin: Integers
    end: Integers

    def __len__(self) -> int:
        return len(self.begin)


def cut(netlist: Netlist, samples: int, steps: int | None, lanes: int) -> Pieces:
    """Pieces of the runs of all tiles: at least `lanes` of them where that saves work. `steps` is the history."""
    bounds = deal(samples, netlist.tiles)
    count = np.diff(bounds)
    parts = np.ones(len(count), np.int64)
    warm_up = 0
    if steps is not None:
        warm_up = -(-steps // netlist.interval)
        wanted = max(-(-lanes // len(count)), -(-int(count.max(initial=0)) // MAX_PIECE))
        # A piece that is not twice as long as its way in and out costs more than it saves.
        least = 2 * (warm_up + -(-netlist.latency // netlist.interval))
        parts = np.clip(count // least, 1, wanted)
    tile = np.repeat(np.arange(len(count)), parts)
    number = np.arange(len(tile)) - np.repeat(np.cumsum(parts) - parts, parts)
    return Pieces(
        warm_up=warm_up if int(parts.max(initial=1)) > 1 else 0,
        first=bounds[:-1][tile],
        samples=count[tile],
        begin=number * count[tile] // parts[tile],
        end=(number + 1) * count[tile] // parts[tile],
    )


@frozen(eq=False)
class Group:
    """Up to LANES pieces executed together, one a lane (a bit of each mask), all with step 0 at `begin - warm_up`.

    `steps` is how many are executed. uint64 masks of lanes: `alive` [steps], the run has begun and not ended;
    `counted` [steps]; `present` [samples], there is such a sample; `bits` [samples, elements], the input. A sample's
    number is relative here: sample n of a lane starts in step n * interval. `place` is int64[lanes, samples]: number
    of the lane's own samples in the batch, -1 for others.
    """

    steps: int
    alive: npt.NDArray[np.uint64]
    counted: npt.NDArray[np.uint64]
    present: npt.NDArray[np.uint64]
    bits: npt.NDArray[np.uint64]
    place: Integers


def masks(lanes: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """bool[lanes, ...] as masks of lanes: uint64[...]."""
    packed = np.packbits(lanes, axis=0, bitorder="little")
    full = np.zeros((LANES // BYTE, *packed.shape[1:]), np.uint8)
    full[: len(packed)] = packed
    return _whole(full)


def _whole(parts: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Bytes [LANES / 8, ...] of masks as masks [...]."""
    return np.ascontiguousarray(np.moveaxis(parts, 0, -1)).view(np.uint64)[..., 0]


def _input_masks(x: npt.NDArray[np.uint8], batch: Integers, present: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """x[batch] where `present`, else 0, for batch [lanes, samples], as masks [samples, elements]."""
    parts = np.zeros((LANES // BYTE, batch.shape[1], x.shape[1]), np.uint8)
    # One lane out of eight at a time: whole rows are shifted and joined, which is far faster than single bits.
    for bit in range(BYTE):
        rows = x[batch[bit::BYTE]]
        rows[~present[bit::BYTE]] = 0
        rows <<= bit
        parts[: len(rows)] |= rows
    return _whole(parts)


def unmasked(found: npt.NDArray[np.uint64], lanes: int) -> npt.NDArray[np.uint8]:
    """Masks [...] as 0 and 1: uint8[lanes, ...]."""
    parts = np.ascontiguousarray(found)[..., None].view(np.uint8)
    bits = np.unpackbits(parts, axis=-1, bitorder="little", count=lanes)
    return np.moveaxis(bits, -1, 0)


def group(netlist: Netlist, pieces: Pieces, chosen: slice, x: npt.NDArray[np.uint8]) -> Group:
    """The pieces `chosen` as lanes over samples x [N, elements]."""
    begin, end = pieces.begin[chosen, None], pieces.end[chosen, None]
    samples, first = pieces.samples[chosen, None], pieces.first[chosen, None]
    interval, latency = netlist.interval, netlist.latency
    behind = -(-latency // interval)
    count = pieces.warm_up + int((end - begin).max()) + behind
    steps = count * interval
    number = np.arange(count) + begin - pieces.warm_up
    present = (number >= 0) & (number < samples)
    batch = np.where(present, first + number, 0)
    step = np.arange(steps) + (begin - pieces.warm_up) * interval
    run = (samples - 1) * interval + latency
    counted = (step >= begin * interval) & (step < np.where(end < samples, end * interval, run))
    return Group(
        steps=steps,
        alive=masks((step >= 0) & (step < run)),
        counted=masks(counted),
        present=masks(present),
        bits=_input_masks(x, batch, present),
        place=np.where((number >= begin) & (number < end), batch, -1),
    )
