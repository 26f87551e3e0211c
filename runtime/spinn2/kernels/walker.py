"""The function that runs commands: one call per thread executes a whole program.

Commands are dealt in *shares*, in order: a thread takes the next share as soon as all shares of earlier phases are done
(a *phase* is one or more steps), so that a thread that the operating system has put aside holds nobody up unless it is
in the middle of a share.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from ....ir.dialects import spinn2_tables
from ...jit import code as code_module
from ...jit.code import I32, I64, Code, Value
from ...jit.features import Features
from ...jit.llvm import IRFunction, ir
from . import common, copy, elementwise, floating, layout, mac, matmul, packing, pool
from .common import Library
from .layout import COMMAND, SHARE_WORDS, WORD, Operation, Slot, State

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
    Operation.REQUANTIZE_FLOAT: floating.requantize_float,
    Operation.ADD_FLOAT: floating.add_float,
    Operation.BOX: copy.box,
    Operation.GATHER: copy.gather,
    Operation.FILL: copy.fill,
}
DOT_KERNELS: dict[Operation, Callable[[Library], IRFunction]] = {
    Operation.CONV_DOT: mac.conv_dot,
    Operation.MATMUL_DOT: matmul.matmul_dot,
}
SOURCES = (
    *(spinn2_tables, code_module, sys.modules[__name__], common, layout, packing),
    *(copy, elementwise, floating, mac, matmul, pool),
)
"""Modules that decide the generated code."""
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

    image, records, shares = word(State.IMAGE), word(State.RECORDS), word(State.SHARES)
    scratch = word(State.SCRATCH) + thread * word(State.SCRATCH_BYTES)
    count, arena = word(State.COUNT), word(State.ARENA)

    def run(row: Value) -> None:
        command = word(State.COMMANDS) + row * (len(COMMAND) * WORD)
        operation, record, _, *operands, packed = (code.load(command + n * WORD, I64) for n in range(len(COMMAND)))
        own = code.load(scratch + Slot.OWN_PACKED * WORD, I64)
        shared = arena + packed.logical_shift(1) - 1
        code.store(scratch + Slot.PACKED * WORD, packed.equals(0).select(own, shared))
        code.store(scratch + Slot.KEPT * WORD, packed & 1)
        arguments = [scratch, records + record, *(image + operand for operand in operands)]

        def call(function: IRFunction) -> None:
            code.call(function, *arguments)

        code.choose(operation, functions, call)

    taken, done = (
        code.builder.inttoptr((state + name * WORD).raw, I64.as_pointer()) for name in (State.TAKEN, State.DONE)
    )
    idle, next_share = code.variable(0), code.variable(0)

    def more() -> Value:
        """Reads the counter once: a second look could see that another thread took the last share."""
        next_share.set(_read(code, taken))
        return next_share.get() < count

    with code.repeat_while(more):
        number = next_share.get()
        share = shares + number * (SHARE_WORDS * WORD)
        ready = _read(code, done) >= code.load(share + 2 * WORD, I64)

        def work(number: Value = number, share: Value = share) -> None:
            with code.when(_take(code, taken, number)):
                with code.loop(code.load(share + WORD, I64), start=code.load(share, I64)) as row:
                    run(row)
                code.builder.atomic_rmw("add", done, ir.Constant(I64, 1), "acq_rel")
            idle.set(code.number(0))

        def rest() -> None:
            idle.set(idle.get() + 1)
            if features.x86:
                code.call_raw("llvm.x86.sse2.pause", ir.FunctionType(ir.VoidType(), []), [])
            if yields:
                with code.when(idle.get() > SPINS):
                    code.call_raw(YIELD, ir.FunctionType(I32, []), [])

        code.either(ready, work, rest)
    code.end()
    return library.module.text()


def _read(code: Code, pointer: Any) -> Value:
    return Value(code, code.builder.load_atomic(pointer, "acquire", 8, typ=I64))


def _take(code: Code, pointer: Any, number: Value) -> Value:
    """Count `pointer` up from `number`; whether no other thread was faster."""
    result = code.builder.cmpxchg(pointer, number.raw, (number + 1).raw, "acq_rel", "acquire")
    return Value(code, code.builder.extract_value(result, 1))
