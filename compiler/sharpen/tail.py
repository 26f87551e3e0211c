"""What the written network has around the one that is trained: a comparison in front, the decoding behind."""

from __future__ import annotations

import numpy as np

from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp
from ...ir.location import Location
from ...ir.rewriter import Rewriter
from .keys import Key


def add_encoding(module: ModuleOp, threshold: float | None) -> None:
    """Inputs of at least `threshold` are 1, others 0."""
    if threshold is None:
        return
    main, rewriter = module.main, Rewriter()
    first = next(main.body.ops)
    for argument in main.body.arguments:
        uses = argument.uses
        location = Location((f"{argument.hint}.encode",))
        level = ConstantOp(value=np.asarray(threshold, argument.element.dtype), location=location)
        rewriter.insert_before(first, level)
        test = nn.CompareOp(lhs=argument, rhs=level.out, predicate="ge", location=location)
        rewriter.insert_before(first, test)
        spikes = rewriter.insert_before(first, nn.CastOp(x=test.out, to=argument.element, location=location))
        for user, index in uses:
            rewriter.set_operand(user, index, spikes.out)


def add_decoding(module: ModuleOp, key: Key) -> None:
    """softmax((2x - 1)(2K - 1)) of the output spikes x and the key K."""
    main, rewriter = module.main, Rewriter()
    end, location = main.return_op, Location(("decode",))
    (spikes,) = end.values
    two, one = (_constant(main, rewriter, np.array(number, np.float32), location) for number in (2.0, 1.0))
    matrix = _constant(main, rewriter, key.matrix(), location)
    doubled = rewriter.insert_before(end, nn.MulOp(lhs=spikes, rhs=two.out, location=location))
    signs = rewriter.insert_before(end, nn.SubOp(lhs=doubled.out, rhs=one.out, location=location))
    votes = rewriter.insert_before(end, nn.MatMulOp(lhs=signs.out, rhs=matrix.out, location=location))
    shares = rewriter.insert_before(end, nn.SoftmaxOp(x=votes.out, axis=1, location=location))
    rewriter.set_operand(end, 0, shares.out)


def _constant(main: FuncOp, rewriter: Rewriter, array: np.ndarray, location: Location) -> ConstantOp:
    return rewriter.insert_before(main.return_op, ConstantOp(value=array, location=location))
