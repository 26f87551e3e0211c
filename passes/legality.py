"""Which operations may remain at each stage: the contract between the stages of the compiler."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from ..ir.core import Operation
from ..ir.diagnostics import Diagnostic, UsageError
from ..ir.dialects.builtin import ModuleOp
from ..ir.traits import Trait
from .registry import did_you_mean


@frozen
class Stage:
    """A legality list.

    Operations of `dialects` and those named in `ops` may remain, and those of `movers` that only move elements. Inside
    an operation of the `opaque` dialects anything goes: it is the body of a kernel, which its own rules check.
    """

    name: str
    dialects: frozenset[str]
    ops: frozenset[str] = frozenset()
    movers: frozenset[str] = frozenset()
    opaque: frozenset[str] = frozenset()

    def allows(self, op: Operation) -> bool:
        """Whether `op` may remain."""
        dialect = _dialect(op)
        if dialect in self.dialects or op.name in self.ops:
            return True
        return dialect in self.movers and Trait.MOVEMENT in op.traits

    @property
    def expected(self) -> str:
        """What may remain, in words."""
        words = [f"{dialect}.*" for dialect in sorted(self.dialects)]
        words += sorted(self.ops)
        words += [f"the {dialect} operations that only move elements" for dialect in sorted(self.movers)]
        return ", ".join(words)


HOST = frozenset(
    f"nn.{name}"
    for name in ("add", "sub", "mul", "div", "neg", "cast", "compare", "reduce", "softmax", "arg_reduce", "matmul")
)
"""What the host may compute behind the spikes of a network."""

STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("graph", frozenset({"builtin", "nn"}), ops=frozenset({"quant.quantize", "quant.dequantize"})),
        Stage("fixed-point", frozenset({"builtin", "quant"}), movers=frozenset({"nn"})),
        Stage(
            "binary",
            frozenset({"builtin"}),
            ops=HOST | {"spiking.encode", "quant.binarize", "nn.conv2d", "nn.max_pool2d"},
            movers=frozenset({"nn"}),
        ),
        Stage(
            "binary-fixed-point",
            frozenset({"builtin"}),
            ops=HOST
            | {
                "spiking.encode",
                "quant.binarize",
                "quant.conv2d",
                "quant.matmul",
                "quant.max_pool2d",
                "quant.dequantize",
            },
            movers=frozenset({"nn"}),
        ),
        Stage("spiking", frozenset({"builtin", "spiking"}), ops=HOST, movers=frozenset({"nn"})),
        Stage(
            "tiled",
            frozenset({"builtin", "tile"}),
            ops=frozenset({"quant.quantize", "quant.dequantize", "quant.storage_cast"}),
            movers=frozenset({"nn"}),
            opaque=frozenset({"tile"}),
        ),
    )
}
"""The stages by name, in the order of the compiler."""


def check_legality(module: ModuleOp, stage: str) -> list[Diagnostic]:
    """One finding for each operation that may not remain at `stage`, naming the ONNX nodes that it stands for.

    Raises UsageError when there is no such stage.
    """
    if stage not in STAGES:
        raise UsageError(Diagnostic("SNC0366", f"there is no stage {stage}", help=did_you_mean(stage, STAGES)))
    rules = STAGES[stage]
    return [
        Diagnostic(
            "SNC0370",
            f"no form of {op.name} is known for the stage {stage}",
            found=_types(op),
            expected=rules.expected,
            node=str(op.location),
        )
        for op in _visible(module, rules)
        if not rules.allows(op)
    ]


def _visible(op: Operation, rules: Stage) -> Iterator[Operation]:
    yield op
    if _dialect(op) in rules.opaque:
        return
    for block in op.regions:
        for inner in block.ops:
            yield from _visible(inner, rules)


def _dialect(op: Operation) -> str:
    return op.name.partition(".")[0]


def _types(op: Operation) -> str:
    operands = ", ".join(str(value.type) for value in op.operands)
    results = ", ".join(str(value.type) for value in op.results)
    return f"{op.name} ({operands}) -> ({results})"
