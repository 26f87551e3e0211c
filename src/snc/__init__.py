"""snc: trained ONNX networks compiled for SpiNNaker1 and SpiNNaker2, and run bit-exactly without a board.

import snc

network = snc.compile("digits.onnx", target="spinn2", calibration={"image": samples})
logits = network(images)
network.save("digits.snc")
network = snc.load("digits.snc")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .compiler.evaluation.evaluate import evaluate
    from .compiler.evaluation.record import Evaluation
    from .compiler.executable import Executable
    from .compiler.sharpen.settings import Settings as SharpenSettings
    from .compiler.sharpen.sharpen import sharpen
    from .compiler.spinn1.executable import SpikingExecutable
    from .compiler.sweep.sweep import SweepResult, sweep
    from .compiler.targets import compile, load
    from .ir.diagnostics import Diagnostic, SncError

__all__ = [
    "Diagnostic",
    "Evaluation",
    "Executable",
    "SharpenSettings",
    "SncError",
    "SpikingExecutable",
    "SweepResult",
    "__version__",
    "compile",
    "evaluate",
    "load",
    "sharpen",
    "sweep",
]

_HOMES = {
    "compile": "compiler.targets",
    "load": "compiler.targets",
    "evaluate": "compiler.evaluation.evaluate",
    "Evaluation": "compiler.evaluation.record",
    "sharpen": "compiler.sharpen.sharpen",
    "sweep": "compiler.sweep.sweep",
    "SweepResult": "compiler.sweep.sweep",
    "SharpenSettings": "compiler.sharpen.settings",
    "Executable": "compiler.executable",
    "SpikingExecutable": "compiler.spinn1.executable",
    "Diagnostic": "ir.diagnostics",
    "SncError": "ir.diagnostics",
}

_INNER_NAMES = {"SharpenSettings": "Settings"}
"""Names that are longer here, where more than sharpening has settings."""


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import snc` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), _INNER_NAMES.get(name, name))
