"""From a network as it was trained to the one that is trained: every activation a step, N outputs for each class."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen

from ...ir.core import Operation, Value
from ...ir.diagnostics import Diagnostic, ModelError
from ...ir.dialects import nn
from ...ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp
from ...ir.location import Location
from ...ir.rewriter import Rewriter, apply_patterns
from ...ir.types import F32
from ...passes.base import PassContext
from ...passes.graph.matching import EraseDead, constant_of, only_user, scalar_of
from ...passes.manager import PassManager
from ...passes.pipeline import parse_pipeline
from .keys import Key, consecutive_key, key_of_matrix
from .layers import AFFINE, Activation, is_average, weight_of
from .problems import NO_LAYERS, OUTPUTS, not_trained

PIPELINE = "fold-constants,fuse-activations,fold-constants"
"""To few spellings of few operations; batch normalisations stay."""
SOFT = (nn.ClampOp, nn.SigmoidOp, nn.HardSigmoidOp)
"""Activations that steps take the place of."""
THRESHOLD = 0.5
"""Where the steps are; bounded ReLU and sigmoid reach one half there."""
NOISE = 0.5
"""How far copies of an output's weights lie apart, in standard deviations of these weights."""


@frozen(eq=False)
class Stepped:
    """A network of steps: `module` returns the spikes of the last layer, [1, outputs], for the key.

    `activations` are its steps, in order; the last is the output. `widened` is how many neurons took the place of one
    output, 1 when none did.
    """

    module: ModuleOp
    activations: tuple[Activation, ...]
    key: Key
    widened: int


def stepped(module: ModuleOp, classes: int, *, votes: int | None, seed: int) -> Stepped:
    """The network of steps that stands for an imported `module`, which is changed.

    What only reads the last layer (softmax, argmax, a key matrix) goes. A network with one output for each class gets
    `votes` of them (10 when None), with the weights of the output and a little noise; one with several keeps them.
    Raises ModelError with every reason at once.
    """
    PassManager(parse_pipeline(PIPELINE).passes, ()).run(module, PassContext())
    main = module.main
    key = _without_tail(main)
    apply_patterns(module, [EraseDead()])
    rewriter = Rewriter()
    problems = [] if key is not None else _flatten_output(main, rewriter)
    widened = 1
    if not problems:
        key, widened = _keyed(main, key, classes, votes, np.random.default_rng([seed, 1]), rewriter)
    for op in list(main.body.ops):
        if isinstance(op, SOFT):
            rewriter.replace(op, _new_step(op.x, op, rewriter))
        elif isinstance(op, nn.BatchNormOp):
            _own_constants(op, rewriter)
    for op in list(main.body.ops):
        if is_average(op):
            _step_around(op, rewriter)
    apply_patterns(module, [EraseDead()])
    activations = _activations(main, problems)
    if problems:
        raise ModelError(problems)
    if not activations:
        raise ModelError(Diagnostic(NO_LAYERS, "the network has no layers that could become steps"))
    assert key is not None
    return Stepped(module, activations, key, widened)


def _without_tail(main: FuncOp) -> Key | None:
    """Takes away what stands behind the last layer; the key that it held, if any."""
    if len(main.return_op.values) != 1:
        names = ", ".join(main.output_names)
        raise ModelError(
            Diagnostic(OUTPUTS, "a network with one output is needed", found=names or str(len(main.return_op.values)))
        )
    (value,) = main.return_op.values
    while isinstance(value.owner, nn.SoftmaxOp | nn.ArgReduceOp):
        value = value.owner.x
    key = None
    if isinstance(value.owner, nn.MatMulOp):
        spikes, scores = _spikes_behind(value.owner.lhs), constant_of(value.owner.rhs)
        if spikes is not None and scores is not None:
            key = key_of_matrix(scores)
            value = spikes if key is not None else value
    Rewriter().set_operand(main.return_op, 0, value)
    return key


def _spikes_behind(value: Value) -> Value | None:
    """The activation that `value` is, or is with numbers in the place of 0 and 1."""
    while isinstance(value.owner, nn.AddOp | nn.MulOp | nn.SubOp) and scalar_of(value.owner.rhs) is not None:
        value = value.owner.lhs
    return value if isinstance(value.owner, (*SOFT, nn.CastOp)) else None


def _flatten_output(main: FuncOp, rewriter: Rewriter) -> list[Diagnostic]:
    """Makes the output [1, outputs], without its activation."""
    (value,) = main.return_op.values
    if isinstance(value.owner, SOFT):
        value = value.owner.x
    if value.tensor.rank < 2 or math.prod(value.shape[1:]) < 2:
        return [
            Diagnostic(
                OUTPUTS,
                "the output does not say what class a sample has",
                found=str(value.type),
                expected="at least one number for each class",
            )
        ]
    if value.tensor.rank > 2:
        flat = nn.ReshapeOp(x=value, shape=(value.shape[0], math.prod(value.shape[1:])))
        value = rewriter.insert_before(main.return_op, flat).out
    rewriter.set_operand(main.return_op, 0, value)
    return []


def _keyed(
    main: FuncOp, key: Key | None, classes: int, votes: int | None, rng: np.random.Generator, rewriter: Rewriter
) -> tuple[Key, int]:
    """The key of the output, which ends in a step afterwards."""
    (value,) = main.return_op.values
    outputs = math.prod(value.shape[1:])
    if key is not None:
        if key.classes != classes:
            raise ModelError(_wrong_outputs(f"a key of {key.classes} classes", classes))
        return key, 1
    if outputs < classes:
        raise ModelError(_wrong_outputs(f"{outputs} outputs", classes))
    widened = 1
    if outputs == classes:
        widened = 10 if votes is None else votes
        value = _widened(main, value, widened, rng, rewriter)
        outputs *= widened
    elif votes is not None and outputs // classes != votes:
        raise ModelError(_wrong_outputs(f"{outputs} outputs, --votes {votes}", classes))
    if not (isinstance(value.owner, nn.CastOp) and isinstance(value.owner.x.owner, nn.CompareOp)):
        rewriter.set_operand(main.return_op, 0, _new_step(value, main.return_op, rewriter))
    return consecutive_key(outputs, classes), widened


def _wrong_outputs(found: str, classes: int) -> Diagnostic:
    return Diagnostic(
        OUTPUTS,
        "the outputs of the network do not fit the classes",
        found=found,
        expected=f"{classes} outputs, or several for each of {classes} classes",
        help="say how many classes there are: --classes",
    )


def _widened(main: FuncOp, value: Value, votes: int, rng: np.random.Generator, rewriter: Rewriter) -> Value:
    """`votes` outputs in the place of each, one behind the other; raises ModelError where the last layer forbids it."""
    if votes == 1:
        return value
    chain: list[Operation] = []
    at = value
    while at.owner is not None and weight_of(at.owner) is None:
        op = at.owner
        moves = isinstance(op, nn.ReshapeOp) and math.prod(op.x.shape[2:]) == 1 and op.x.shape[:2] == op.shape
        if not (moves or isinstance(op, (*AFFINE, nn.ReduceOp, nn.AvgPool2dOp, nn.MaxPool2dOp))):
            break
        if only_user(at) is None or (isinstance(op, nn.ReduceOp) and not op.keep_dims and op.out.tensor.rank != 2):
            break
        chain.append(op)
        at = op.operands[0] if constant_of(op.operands[0]) is None else op.operands[1]
    layer = at.owner
    weight = None if layer is None else weight_of(layer)
    if layer is None or weight is None:
        raise ModelError(
            Diagnostic(
                OUTPUTS,
                "the last layer cannot be given more outputs",
                found=str(value.owner or value.type),
                expected="a product or a convolution in front of the outputs",
                help="end the network in a dense layer, or take its outputs as they are: --votes 1",
            )
        )
    axis = 0 if isinstance(layer, nn.Conv2dOp) else -1
    copies = np.repeat(weight, votes, axis)
    spread = NOISE * float(weight.std())
    copies = (copies + rng.normal(0.0, spread, copies.shape)).astype(weight.dtype)
    made = _with_constants(layer, {1: copies}, votes, rewriter)
    for op in reversed(chain):
        made = _with_constants(op, {}, votes, rewriter, replaced=(at, made))
        at = op.result
    return made


def _with_constants(
    op: Operation,
    given: dict[int, np.ndarray],
    votes: int,
    rewriter: Rewriter,
    replaced: tuple[Value, Value] | None = None,
) -> Value:
    """`op` again with channels repeated in all constants by channel, before it."""
    operands: list[Value] = []
    for index, value in enumerate(op.operands):
        array = constant_of(value)
        if replaced is not None and value is replaced[0]:
            operands.append(replaced[1])
        elif index in given or (array is not None and array.size > 1):
            assert array is not None
            new = given[index] if index in given else _repeated(array, votes)
            operands.append(rewriter.insert_before(op, ConstantOp(value=new, location=value.owner.location)).out)  # type: ignore[union-attr]
            operands[-1].hint = value.hint
        else:
            operands.append(value)
    attributes = dict(op.attributes)
    if isinstance(op, nn.ReshapeOp):
        made: Operation = nn.ReshapeOp(x=operands[0], shape=operands[0].shape[:2])
    else:
        made = type(op).create(operands, attributes)
    made.location = op.location
    rewriter.insert_before(op, made)
    return made.result


def _repeated(array: np.ndarray, votes: int) -> np.ndarray:
    axis = next(index for index, size in enumerate(array.shape) if size > 1)
    return np.repeat(array, votes, axis)


def _step_around(op: Operation, rewriter: Rewriter) -> None:
    """Lets an average read spikes and end in them: neurons that spike where enough of their inputs do."""
    (value,) = op.operands
    if not isinstance(value.owner, nn.CastOp | nn.ConcatOp | nn.MaxPool2dOp):
        rewriter.set_operand(op, 0, _new_step(value, op, rewriter))
    if _ends_in_step(op.result):
        return
    assert op.next is not None
    users = op.result.uses
    step = _new_step(op.result, op.next, rewriter, op.location)
    for user, index in users:
        rewriter.set_operand(user, index, step)


def _ends_in_step(value: Value) -> bool:
    return all(
        isinstance(user, nn.CompareOp) or (isinstance(user, nn.ReshapeOp) and _ends_in_step(user.out))
        for user in value.users
    )


def _own_constants(op: nn.BatchNormOp, rewriter: Rewriter) -> None:
    """Constants of its own for a normalisation: exporters store equal ones once, such as a new scale and variance."""
    for index, word in enumerate(("weight", "bias", "mean", "variance"), 1):
        value = op.operands[index]
        if isinstance(value.owner, ConstantOp) and len(value.uses) > 1:
            location = Location((f"{op.location}.{word}",))
            copy = rewriter.insert_before(op, ConstantOp(value=value.owner.value, location=location))
            rewriter.set_operand(op, index, copy.out)


def _new_step(value: Value, anchor: Operation, rewriter: Rewriter, location: Location | None = None) -> Value:
    """1 where `value` reaches the threshold, else 0; made before `anchor`, at its location if none is given."""
    if location is None:
        location = anchor.location if anchor.results else (value.owner.location if value.owner else anchor.location)
    level = np.asarray(THRESHOLD, value.element.dtype)
    constant = rewriter.insert_before(anchor, ConstantOp(value=level, location=location)).out
    test = nn.CompareOp(lhs=value, rhs=constant, predicate="ge", location=location)
    rewriter.insert_before(anchor, test)
    return rewriter.insert_before(anchor, nn.CastOp(x=test.out, to=F32, location=location)).out


def _activations(main: FuncOp, problems: list[Diagnostic]) -> tuple[Activation, ...]:
    """All steps in order; what is none and no operation of trained layers goes to `problems`."""
    found: list[Activation] = []
    for op in main.body.ops:
        if isinstance(op, nn.CompareOp):
            level = scalar_of(op.rhs)
            cast = only_user(op.out)
            if op.predicate != "ge" or level is None or not isinstance(cast, nn.CastOp):
                problems.append(
                    not_trained(op, f"a comparison ({op.predicate})", expected="z >= threshold, then a cast")
                )
            else:
                found.append(Activation(op, cast, level))
    return tuple(found)
