"""What a model's module computes at one of its stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.spinn2.ports import network_outputs
from ..ir.core import Value
from ..ir.dialects.builtin import ModuleOp
from ..runtime.interpreter.evaluate import evaluate
from .executable import Port, split_samples

Array = NDArray[Any]


def output_names(module: ModuleOp) -> list[str]:
    """The names of the outputs, in order."""
    main = module.main
    return list(main.output_names) or [f"output{index}" for index, _ in enumerate(main.return_op.values)]


def stage_values(
    module: ModuleOp, ports: Sequence[Port], inputs: Sequence[Array], *, integers: bool = False
) -> list[Array]:
    """The outputs for `inputs` (in the shape of the inputs, or batches of them, see `split_samples`).

    With `integers`, those that dequantize would turn into numbers. Raises UsageError when an input does not fit.
    """
    parts = [_sample(module, sample, integers=integers) for sample in split_samples(ports, inputs)]
    return parts[0] if len(parts) == 1 else [np.concatenate(column) for column in zip(*parts, strict=True)]


def _sample(module: ModuleOp, sample: Sequence[Array], *, integers: bool) -> list[Array]:
    if not integers:
        return evaluate(module, sample)
    held = network_outputs(module.main.return_op)
    seen: dict[Value, Array] = {}

    def observe(value: Value, array: Array) -> None:
        if value in held:
            seen[value] = array

    evaluate(module, sample, observe=observe)
    return [seen[value] for value in held]
