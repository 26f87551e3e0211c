"""The function that runs commands: one call per thread executes all phases of a program.

A *phase* is one or more steps between two barriers; `splits` holds for each phase and thread which commands it runs.
The barrier is a counter that only grows: each thread takes a ticket and waits until all tickets of its round are taken.
"""

from __future__ import annotations

from collections.abc import Callable

from ...jit.code import I32, I64, Code, Value
from ...jit.features import Features
from ...jit.llvm import IRFunction, ir
from . import copy, elementwise, mac, matmul, pool
from .common import Library
from .layout import COMMAND, WORD, Operation, Slot, State

KERNELS: dict[Operation, Callable[[Library], IRFunction]] = {
    Operation.CONV: mac.conv,
    Operation.DEPTHWISE: mac.depthwise,
    Operation.MATMUL: matmul.matmul,
    Operation.PAD: copy.pad,
    Operation.ACCUMULATE: elementwise.accumulate,
    Operation.REQUANTIZE: elementwise.requantize,
    Operation.ADD: elementwise.add,
    Operation.MUL: elementwise.mul,
    Operation.TABLE: elementwise.table,
    Operation.MAX_POOL: pool.max_pool,
    Operation.AVG_POOL: pool.avg_pool,
    Operation.SOFTMAX: elementwise.softmax,
    Operation.LRN: elementwise.lrn,
    Operation.MAXIMUM: elementwise.maximum,
    Operation.MINIMUM: elementwise.minimum,
    Operation.BOX: copy.box,
    Operation.GATHER: copy.gather,
    Operation.FILL: copy.fill,
}
DOT_KERNELS: dict[Operation, Callable[[Library], IRFunction]] = {
    Operation.CONV_DOT: mac.conv_dot,
    Operation.MATMUL_DOT: matmul.matmul_dot,
}
WALK = "snc_walk"
YIELD = "snc_yield"
SPINS = 2000
"""Rounds of waiting before a thread offers its processor to others."""


def has_dot(features: Features) -> bool:
    """Whether the kernels of DOT_KERNELS exist."""
    return features.dot512 or features.dot256


def walker(features: Features, *, yields: bool) -> str:
    """LLVM IR of snc_walk(state, thread) and of every kernel. With `yields`, snc_yield is imported."""
    library = Library(features)
    kernels = KERNELS | (DOT_KERNELS if has_dot(features) else {})
    functions = {operation: write(library) for operation, write in kernels.items()}
    code = Code(library.module.function(WALK, 2, exported=True))
    state, thread = code.parameters

    def word(name: State) -> Value:
        return code.load(state + name * WORD, I64)

    threads, image, records = word(State.THREADS), word(State.IMAGE), word(State.RECORDS)
    scratch = word(State.SCRATCH) + thread * word(State.SCRATCH_BYTES)
    with code.loop(word(State.PHASES)) as phase:
        split = word(State.SPLITS) + (phase * threads + thread) * (2 * WORD)
        with code.loop(code.load(split + WORD, I64), start=code.load(split, I64)) as row:
            command = word(State.COMMANDS) + row * (len(COMMAND) * WORD)
            operation, record, step, *operands = (code.load(command + n * WORD, I64) for n in range(7))
            code.store(scratch + Slot.STEP * WORD, step)
            arguments = [scratch, records + record, *(image + operand for operand in operands)]

            def run(function: IRFunction, arguments: list[Value] = arguments) -> None:
                code.call(function, *arguments)

            code.choose(operation, functions, run)
        with code.when(threads > 1):
            _wait(code, features, state + State.BARRIER * WORD, threads, yields=yields)
    code.end()
    return library.module.text()


def _wait(code: Code, features: Features, counter: Value, threads: Value, *, yields: bool) -> None:
    """Wait until all threads have come."""
    builder = code.builder
    pointer = builder.inttoptr(counter.raw, I64.as_pointer())
    ticket = Value(code, builder.atomic_rmw("add", pointer, ir.Constant(I64, 1), "acq_rel"))
    goal = (ticket.quotient(threads) + 1) * threads
    spins = code.variable(0)

    def waiting() -> Value:
        return Value(code, builder.load_atomic(pointer, "acquire", 8, typ=I64)) < goal

    with code.repeat_while(waiting):
        spins.set(spins.get() + 1)
        if features.x86:
            code.call_raw("llvm.x86.sse2.pause", ir.FunctionType(ir.VoidType(), []), [])
        if yields:
            with code.when(spins.get() > SPINS):
                code.call_raw(YIELD, ir.FunctionType(I32, []), [])
