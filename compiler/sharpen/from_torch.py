"""A torch module as an ONNX model, with its batch normalisations as they are."""

from __future__ import annotations

import io
import warnings

import onnx
import torch

from ...ir.diagnostics import Diagnostic, ModelError
from ..data.dataset import DataSet
from .problems import NOT_TRAINED, wrong_samples

OPSET = 18
INPUT, OUTPUT = "input", "output"


def exported(module: torch.nn.Module, data: DataSet) -> onnx.ModelProto:
    """The ONNX model of a module that takes one batch of samples of `data`; raises ModelError when torch refuses it."""
    if len(data.fields) != 1:
        found = ", ".join(data.fields)
        raise wrong_samples(data.source, "a torch module takes one array of samples", found, "one array")
    ((name, field),) = data.fields.items()
    wanted = name or INPUT
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                (torch.zeros(1, *field.shape),),
                buffer,
                dynamo=False,
                # Keeps batch normalisations; the module's own mode decides what they do.
                training=torch.onnx.TrainingMode.PRESERVE if not module.training else torch.onnx.TrainingMode.EVAL,
                do_constant_folding=False,
                opset_version=OPSET,
                input_names=[wanted],
                output_names=[OUTPUT],
                dynamic_axes={wanted: {0: "N"}, OUTPUT: {0: "N"}},
            )
    except Exception as error:
        # The exporter runs the module, so anything may come out of it.
        found = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(Diagnostic(NOT_TRAINED, "torch cannot export this module", found=found[:200])) from error
    return onnx.load_model_from_string(buffer.getvalue())
