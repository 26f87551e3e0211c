"""What the host does around a netlist: samples become source spikes, output spikes the outputs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import define
from numpy.typing import NDArray

from ...ir.builder import Builder
from ...ir.core import Block, BlockArgument, Operation, Value
from ...ir.dialects.builtin import FuncOp, ModuleOp, ReturnOp
from ...ir.dialects.nn import CastOp
from ...ir.dialects.spiking import DecodeOp, EncodeOp
from ...ir.traits import Trait
from ...runtime.interpreter.evaluate import evaluate
from ...runtime.interpreter.spiking import encode

Array = NDArray[Any]


def encoders(main: FuncOp) -> list[tuple[EncodeOp, int]]:
    """The encoders in the order of the source populations, each with the number of the argument that it reads.

    Raises ValueError for one that reads anything else.
    """
    found = []
    for op in main.body.ops:
        if isinstance(op, EncodeOp):
            read = op.x.owner.x if isinstance(op.x.owner, CastOp) else op.x
            if not isinstance(read, BlockArgument):
                raise ValueError(f"the encoder {op.label!r} does not read an input")
            found.append((op, read.index))
    return found


def encode_samples(main: FuncOp, inputs: Sequence[Array]) -> Array:
    """The elements of each sample, uint8 [N, elements] of 0 and 1; `inputs` are [N, ...], one array an argument."""
    parts = []
    for op, argument in encoders(main):
        x = inputs[argument].astype(np.float32, copy=False)
        if op.bits == 1:
            spikes = encode(op, [x])
        else:
            # Bits are spread over channels in the batch that the operation has.
            spikes = np.concatenate([encode(op, [part]) for part in batches(x, op.x.shape[0])])[: len(x)]
        parts.append(spikes.reshape(len(x), -1))
    return np.concatenate(parts, axis=1).astype(np.uint8)


def batches(x: Array, size: int) -> list[Array]:
    """`x` in parts of `size` samples, the last one filled with zeros."""
    missing = -len(x) % size
    if missing:
        x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
    return [x[first : first + size] for first in range(0, len(x), size)]


def decoders(main: FuncOp) -> list[DecodeOp]:
    """Where the host reads spikes, in the order of the netlist's outputs."""
    return [op for op in main.body.ops if isinstance(op, DecodeOp)]


@define(eq=False)
class DecodeTail:
    """What the host computes behind the spikes: `module` takes those of each decoder, returns the model's outputs."""

    module: ModuleOp

    @classmethod
    def of(cls, main: FuncOp) -> DecodeTail:
        """The operations behind the decoders of a function."""
        read = decoders(main)
        body = Block([op.out.type for op in read])
        copies: dict[Value, Value] = dict(zip((op.out for op in read), body.arguments, strict=True))
        builder = Builder(body)
        for op in main.body.ops:
            if not isinstance(op, DecodeOp) and all(value in copies for value in op.operands):
                copy = type(op).create([copies[value] for value in op.operands], op.attributes, [], op.location)
                copies.update(zip(op.results, builder.insert(copy).results, strict=True))
        if not isinstance(body.last, ReturnOp):
            raise ValueError("an output does not come from spikes")
        top = Block()
        Builder(top).insert(FuncOp(sym_name="main", body=body))
        return cls(ModuleOp(body=top))

    @property
    def computes(self) -> bool:
        """Whether there is anything that the host computes, beside putting spikes into the outputs' shapes."""
        return any(op.operands and not _only_moves(op) for op in self.module.main.body.ops)

    def run(self, spikes: Array) -> list[Array]:
        """The model's outputs for output spikes [N, outputs] of 0 and 1."""
        main = self.module.main
        values, first = [], 0
        for argument in main.body.arguments:
            batch, *shape = argument.shape
            size = int(np.prod(shape))
            part = spikes[:, first : first + size].astype(argument.element.dtype)
            values.append(batches(part.reshape(len(part), *shape), batch))
            first += size
        results = [evaluate(self.module, list(sample)) for sample in zip(*values, strict=True)]
        return [np.concatenate(column)[: len(spikes)] for column in zip(*results, strict=True)]


def _only_moves(op: Operation) -> bool:
    return isinstance(op, ReturnOp) or Trait.MOVEMENT in op.traits
