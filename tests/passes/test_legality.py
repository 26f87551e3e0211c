"""Legality lists: what may remain at each stage."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from snc.ir.builder import Builder
from snc.ir.core import Block, Operation
from snc.ir.diagnostics import UsageError
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.dialects.quant import DequantizeOp, ExtremumOp, QuantizeOp
from snc.ir.location import Location
from snc.ir.rewriter import Rewriter
from snc.ir.spec import region
from snc.ir.types import I8, Type
from snc.passes.legality import STAGES, check_legality

from .nets import Net


class KernelOp(Operation):
    """Stands for a fused kernel with a body."""

    name: ClassVar[str] = "tile.kernel"
    body: Block = region()

    def infer(self) -> tuple[Type, ...]:
        return ()


def mixed() -> ModuleOp:
    """quantize, reshape, maximum, dequantize, sigmoid."""
    net = Net((2, 3))
    parameters = {"scale": np.float32(0.5), "zero_point": np.int8(0)}
    integers = net(QuantizeOp(x=net.x, to=I8, **parameters, location=Location(("/q",))))
    moved = net(nn.ReshapeOp(x=integers, shape=(6,), location=Location(("/flatten",))))
    greater = net(ExtremumOp(lhs=moved, rhs=moved, maximum=True, location=Location(("/max",))))
    floats = net(DequantizeOp(x=greater, **parameters, location=Location(("/dq",))))
    return net.module(net(nn.SigmoidOp(x=floats, location=Location(("/gate", "/mul")))))


class TestCheckLegality:
    @pytest.mark.parametrize(
        ("stage", "illegal"),
        [
            ("graph", ["/max"]),
            ("fixed-point", ["/gate + /mul"]),
            ("tiled", ["/max", "/gate + /mul"]),
        ],
    )
    def test_names_the_nodes_that_may_not_remain(self, stage: str, illegal: list[str]) -> None:
        assert [found.node for found in check_legality(mixed(), stage)] == illegal

    def test_says_what_was_found_and_what_may_be(self) -> None:
        (found,) = check_legality(mixed(), "fixed-point")
        assert found.message == "no form of nn.sigmoid is known for the stage fixed-point"
        assert (
            found.found == "nn.sigmoid (tensor<6xf32>) -> tensor<6xf32>" or "nn.sigmoid (tensor<6xf32>)" in found.found
        )
        assert found.expected == "builtin.*, quant.*, the nn operations that only move elements"

    def test_does_not_look_into_kernels(self) -> None:
        module = mixed()
        kernel = Builder.before_op(module.main.return_op).insert(KernelOp())
        for op in module.main.body.ops:
            if op.name in ("quant.extremum", "nn.sigmoid"):
                Rewriter().move_to_end(op, kernel.body)
        assert check_legality(module, "tiled") == []
        assert len(check_legality(module, "graph")) == 2

    def test_refuses_an_unknown_stage(self) -> None:
        with pytest.raises(UsageError, match="did you mean fixed-point"):
            check_legality(mixed(), "fixedpoint")

    def test_stages_stand_in_the_order_of_the_compiler(self) -> None:
        assert list(STAGES) == ["graph", "fixed-point", "binary", "binary-fixed-point", "spiking", "tiled"]
