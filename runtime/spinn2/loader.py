"""The memories of a machine as one array of bytes: constants, inputs and outputs in their place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...ir.dialects.spinn2_tables import Packing
from .errors import program_error
from .groups import Integers, byte_index, groups
from .program import Program

Bytes = npt.NDArray[np.uint8]

POISON = 0xA5
"""What SRAM holds before anybody writes it: a program that reads it gives the same wrong values every time."""
SLACK = 256
"""Bytes behind the last memory, so that a vector load that starts inside the image ends inside it."""
ALIGNMENT = 64
CHUNK_BYTES = 1 << 24
"""About as many bytes of constants are packed at a time."""


def aligned_bytes(count: int) -> Bytes:
    """Uninitialised bytes that start on a cache line."""
    raw = np.empty(count + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count]


def load_image(program: Program) -> Bytes:
    """A new image: uint8[all memories one after the other + SLACK], constants in place, all other bytes POISON."""
    starts = program.memory_starts()
    image = aligned_bytes(int(starts[-1]) + SLACK)
    image[:] = POISON
    constants = program.constants
    o0, o1, c0, c1 = (constants[name].astype(np.int64) for name in ("o0", "o1", "c0", "c1"))
    memory = program.buffers["memory"][constants["buffer"]]
    address = starts[memory] + constants["address"]
    for group in groups(constants["array"], constants["packing"], o1 - o0, c1 - c0):
        first = group[0]
        array = program.arrays[constants["array"][first]]
        packing = Packing(constants["packing"][first])
        height, width = int(o1[first] - o0[first]), int(c1[first] - c0[first])
        pieces = len(group) * array.nbytes // CHUNK_BYTES + 1
        for rows in np.array_split(group, min(pieces, len(group))):
            data = _pack(packing, array, o0[rows], c0[rows], height, width)
            if len(rows) == 1:
                image[address[rows[0]] : address[rows[0]] + data.shape[1]] = data[0]
            else:
                image[byte_index(address[rows], (), (), data.shape[1])] = data
    return image


def _pack(
    packing: Packing, array: npt.NDArray[np.generic], o0: Integers, c0: Integers, height: int, width: int
) -> Bytes:
    """The bytes of constants that agree in array, packing and size: uint8[len(o0), bytes]."""
    if packing == Packing.RAW:
        return np.broadcast_to(_as_bytes(array), (len(o0), array.nbytes))
    if packing == Packing.ROWS:
        return _as_bytes(array[byte_index(o0, (height,), (1,))[..., 0]]).reshape(len(o0), -1)
    if packing == Packing.FILTER:
        return pack_filters(array, o0, c0, height, width)
    return pack_matrix(array, c0, o0, width, height)


def _as_bytes(array: npt.NDArray[np.generic]) -> Bytes:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def pack_filters(array: npt.NDArray[np.generic], o0: Integers, c0: Integers, filters: int, channels: int) -> Bytes:
    """Filter blocks of `array` [O, C, KH, KW]: uint8[len(o0), bytes of ceil(O/4) * KH * KW * ceil(C/4) * 16 elements].

    Block n takes rows o0[n] : o0[n] + filters and channels c0[n] : c0[n] + channels; missing ones are zero.
    """
    rows, depth = -(-filters // 4), -(-channels // 4)
    some = array[byte_index(o0, (filters,), (1,)), byte_index(c0, (channels,), (1,))[..., 0][:, None, :]]
    block = np.zeros((len(o0), rows * 4, depth * 4, *array.shape[2:]), array.dtype)
    block[:, :filters, :channels] = some
    split = block.reshape(len(o0), rows, 4, depth, 4, *array.shape[2:])
    return _as_bytes(split.transpose(0, 1, 5, 6, 3, 2, 4)).reshape(len(o0), -1)


def pack_matrix(array: npt.NDArray[np.generic], k0: Integers, n0: Integers, inner: int, width: int) -> Bytes:
    """Blocks of `array` [K, N], rows at a pitch that is a multiple of 16 bytes; nothing follows the last row."""
    size = array.dtype.itemsize
    pitch = -(-width * size // 16) * 16
    some = array[byte_index(k0, (inner,), (1,)), byte_index(n0, (width,), (1,))[..., 0][:, None, :]]
    block = np.zeros((len(k0), inner, pitch), np.uint8)
    block[..., : width * size] = _as_bytes(some).reshape(len(k0), inner, width * size)
    return block.reshape(len(k0), -1)[:, : (inner - 1) * pitch + width * size]


def port_bytes(program: Program, *, output: bool) -> list[int]:
    """Bytes of each input or output of the network, in order: where its last port row ends."""
    ports = program.ports[program.ports["output"] == int(output)]
    if not len(ports):
        return []
    end = ports["at"].astype(np.int64) + ports["n0"].astype(np.int64) * ports["bytes"]
    sizes = np.zeros(int(ports["index"].max()) + 1, np.int64)
    np.maximum.at(sizes, ports["index"], end)
    return [int(size) for size in sizes]


def write_inputs(program: Program, image: Bytes, inputs: Sequence[npt.NDArray[np.generic]]) -> None:
    """Write the inputs of the network where its ports say. Raises ProgramError if their number or sizes differ."""
    sizes = port_bytes(program, output=False)
    if len(inputs) != len(sizes):
        raise program_error("wrong number of inputs", node="inputs", found=len(inputs), expected=len(sizes))
    for index, (array, size) in enumerate(zip(inputs, sizes, strict=True)):
        if array.dtype.kind not in "iu" or array.nbytes != size:
            found = f"{array.nbytes} bytes of {array.dtype}"
            raise program_error(
                "wrong input", node=f"inputs[{index}]", found=found, expected=f"{size} bytes of integers"
            )
    data = [_as_bytes(array) for array in inputs]
    for rows, place, at in _port_rows(program, output=False):
        image[place] = data[program.ports["index"][rows[0]]][at]


def read_outputs(program: Program, image: Bytes) -> list[Bytes]:
    """The bytes of every output of the network; bytes that no port names are zero."""
    out = [np.zeros(size, np.uint8) for size in port_bytes(program, output=True)]
    for rows, place, at in _port_rows(program, output=True):
        out[program.ports["index"][rows[0]]][at] = image[place]
    return out


def _port_rows(program: Program, *, output: bool) -> list[tuple[Integers, Integers, Integers]]:
    """(port rows, image bytes, array bytes) for sets of ports of one array and one form."""
    ports = program.ports
    chosen = np.flatnonzero(ports["output"] == int(output))
    memory = program.buffers["memory"][ports["buffer"]]
    address = program.memory_starts()[memory] + ports["address"]
    found = []
    for group in groups(*(ports[name][chosen] for name in ("index", "n0", "bytes", "pitch"))):
        rows = chosen[group]
        n0, run, pitch = (int(ports[name][rows[0]]) for name in ("n0", "bytes", "pitch"))
        place = byte_index(address[rows], (n0,), (pitch,), run)
        found.append((rows, place, byte_index(ports["at"][rows].astype(np.int64), (n0,), (run,), run)))
    return found
