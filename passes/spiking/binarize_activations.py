"""binarize-activations: every activation becomes one quant.binarize, in whatever way the exporter wrote it."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects.builtin import ConstantOp, ModuleOp
from ...ir.dialects.quant import BinarizeOp
from ...ir.rewriter import apply_patterns
from ..base import Pass, PassContext, option
from ..graph.matching import EraseDead
from .forms import NotBinary, Step, Sum
from .host import host_problem
from .reader import Reader
from .rules import read_form
from .writing import Writer


@frozen
class BinarizeActivations(Pass):
    """Writes a network of binary activations as 0/1 maps: `quant.binarize` over convolutions and products of maps.

        cast(compare ge(conv2d(x, w, b), c))        becomes  binarize(conv2d(s, w)) {bias = b, threshold = c}
        where(z < c, 0, 1); sign(z - c), not at c   become   binarize
        z > c                                       becomes  binarize with the next number behind c as threshold
        max_pool2d(z) >= c                          becomes  max_pool2d(binarize(z))
        activations of -1 and 1, or any two values  become   0/1 maps, their values move into weights and biases

    Inputs become spikes by `spiking.encode`. Behind the last step the host goes on: votes, softmax, argmax.

    Keeps: every output for inputs that the encoder leaves as they are (0 and 1 for one bit), but for sums that lie so
    near to a threshold that the rounding of 32 bit weights or another order of summation decides. With `soft`
    = threshold, activations that are no steps become steps at `level`, each with a warning; nothing is kept then.
    """

    name: ClassVar[str] = "binarize-activations"
    establishes: ClassVar[str | None] = "binary"
    soft: str = option(
        "refuse",
        help="activations that are no steps: refused, or replaced by a step where they reach `level`",
        choices=("refuse", "threshold"),
    )
    level: float = option(0.5, help="value of a soft activation from which on its step is 1")
    input_threshold: float = option(0.5, help="inputs of at least this are spikes")
    input_bits: int = option(1, low=1, high=16, help="bits of an input in [0, 1]; each becomes a channel of spikes")

    def run(self, module: ModuleOp, context: PassContext) -> None:
        main = module.main
        writer = Writer()
        reader = Reader(writer, self.level if self.soft == "threshold" else None)
        ops = list(main.body.ops)
        for argument in main.body.arguments:
            if argument.tensor.rank >= 2:
                reader.forms[argument] = reader.encode(argument, ops[0], self.input_threshold, self.input_bits)
        refused = _read_all(ops, reader)
        host = _Host(writer, reader, refused)
        host.visit(main.return_op)
        for op in refused:
            host.cut(op)
        apply_patterns(module, [EraseDead()])
        problems = [found for op, found in refused.items() if op.parent is not None and op not in host.ops]
        problems += [found for op, found in host.problems.items() if op not in refused or op in host.ops]
        if problems:
            raise ModelError(problems)
        if not any(isinstance(op, BinarizeOp) for op in main.body.ops):
            raise ModelError(
                Diagnostic("SNC0462", "the network has no step", expected="binary activations, such as z >= threshold")
            )
        context.warnings.extend(_softened(op, self.level) for op in reader.softened)


def _read_all(ops: list[Operation], reader: Reader) -> dict[Operation, Diagnostic]:
    """Finds the form of every value; one that has none stands for a 0/1 map, so that all reasons are found at once."""
    refused: dict[Operation, Diagnostic] = {}
    for op in ops:
        if isinstance(op, ConstantOp) or not op.results:
            continue
        try:
            form = read_form(reader, op)
        except NotBinary as reason:
            refused[op] = reason.at(op)
            form = Sum.of_map(op.result) if op.result.tensor.rank >= 2 else None
        if form is not None:
            reader.forms[op.result] = form
    return refused


class _Host:
    """Walks back from the outputs through what the host computes, and gives it the spikes that it reads."""

    def __init__(self, writer: Writer, reader: Reader, refused: dict[Operation, Diagnostic]) -> None:
        self.ops: dict[Operation, None] = {}
        self.problems: dict[Operation, Diagnostic] = {}
        self._writer, self._reader, self._refused = writer, reader, refused

    def visit(self, user: Operation) -> None:
        """Replaces the operands of `user` that are spikes, and visits the operations that make the others."""
        for index, value in enumerate(user.operands):
            owner = value.owner
            if owner in self._refused or not self._read_spikes(user, index, value):
                if owner is None or isinstance(owner, ConstantOp) or owner in self.ops or owner in self.problems:
                    continue
                problem = host_problem(owner)
                if problem is None:
                    self.ops[owner] = None
                else:
                    self.problems[owner] = self._refused.get(owner, problem)
                self.visit(owner)

    def cut(self, user: Operation) -> None:
        """Lets a refused operation hold on to nothing that has a form, so that this is not complained about."""
        for index, value in enumerate(user.operands):
            if value.owner not in self._refused:
                self._read_spikes(user, index, value)

    def _read_spikes(self, user: Operation, index: int, value: Value) -> bool:
        """Makes operand `index` the levels of a 0/1 map, if it is one."""
        form = self._reader.forms.get(value)
        if form is None or (isinstance(form, Sum) and form.map is None):
            return False
        try:
            levels = self._writer.as_sum(form)
        except NotBinary as reason:
            step = form.comparison.op if isinstance(form, Step) else user
            self.problems[step] = reason.at(step)
            return True
        self._writer.rewriter.set_operand(user, index, self._writer.levels(user, levels, value))
        return True


def _softened(op: Operation, level: float) -> Diagnostic:
    return Diagnostic(
        "SNC0463",
        "a soft activation became a step",
        found=op.name.removeprefix("nn."),
        expected=f"1 where it reaches {level:g}, else 0",
        help="measure what this costs: snc eval, and train the network with steps",
        node=str(op.location),
        severity="warning",
    )
