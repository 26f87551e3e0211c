"""Speed of the text form: `python benchmarks/ir_text.py [operations]` prints, parses, verifies and copies a chain."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from snc.ir.builder import Builder
from snc.ir.clone import clone_module
from snc.ir.compare import structurally_equal
from snc.ir.core import Block, Value
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.dialects.nn import AddOp, ClampOp, Conv2dOp, MaxPool2dOp
from snc.ir.location import Location
from snc.ir.parser import parse_module
from snc.ir.printer import print_module, resources
from snc.ir.types import F32, TensorType
from snc.ir.verifier import verify

T = TypeVar("T")


def chain(operations: int) -> ModuleOp:
    """A module of about so many operations: convolution, activation, residual addition and pooling in turn."""
    body = Block([TensorType((1, 8, 32, 32), F32)], ["image"])
    build = Builder(body)
    weights = np.random.default_rng(0).standard_normal((8, 8, 3, 3)).astype(np.float32)
    x: Value = body.arguments[0]
    shortcut = x
    for layer in range(max(1, operations // 6)):
        weight = build.insert(ConstantOp(value=weights, location=Location((f"/layer{layer}/conv/weight",))))
        bias = build.insert(ConstantOp(value=weights[:, 0, 0, 0] + layer))
        conv = Conv2dOp(x=x, weight=weight.out, bias=bias.out, pads=(1, 1, 1, 1))
        conv.location = Location((f"/layer{layer}/conv/Conv",))
        clamp = ClampOp(x=build.insert(conv).out, low=0.0, location=Location((f"/layer{layer}/act/Relu",)))
        add = AddOp(lhs=build.insert(clamp).out, rhs=shortcut, location=Location((f"/layer{layer}/Add",)))
        pool = MaxPool2dOp(x=build.insert(add).out, kernel=(3, 3), pads=(1, 1, 1, 1))
        x = shortcut = build.insert(pool).out
        pool.location = Location((f"/layer{layer}/pool/MaxPool",))
    build.insert(ReturnOp(values=(x,)))
    module = ModuleOp(body=Block())
    Builder(module.body).insert(FuncOp(sym_name="main", body=body))
    return module


def timed(word: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = work()
    print(f"{word:<8} {time.perf_counter() - start:6.2f} s")
    return result


def main() -> None:
    module = chain(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
    text = timed("print", lambda: print_module(module))
    arrays = resources(module)
    parse_module(print_module(chain(6)), resources(chain(6)))
    read = timed("parse", lambda: parse_module(text, arrays))
    timed("verify", lambda: verify(module))
    timed("clone", lambda: clone_module(module))
    same = timed("compare", lambda: structurally_equal(module, read, locations=True))
    print(f"{sum(1 for _ in module.walk())} operations, {len(text)} characters, equal: {same}")


if __name__ == "__main__":
    main()
