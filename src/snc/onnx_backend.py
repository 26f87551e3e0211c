"""`snc` as an ONNX backend: `python -m pytest` of onnx.backend.test, or any tool that speaks `prepare` and `run`."""

from .compiler.onnx.backend import Representation, is_compatible, prepare, run_model, supports_device

__all__ = ["Representation", "is_compatible", "prepare", "run_model", "supports_device"]
