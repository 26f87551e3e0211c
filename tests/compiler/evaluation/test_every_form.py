"""Every form of network that is compiled for SpiNNaker2 can be evaluated, and its fixed point told from saturation."""

from __future__ import annotations

import numpy as np
import pytest

from snc.compiler.data.arrays import ArrayDataSet
from snc.compiler.driver import compile as compile_schedule
from snc.compiler.evaluation.evaluate import evaluate
from snc.compiler.onnx.importer import import_model
from snc.runtime.interpreter.evaluate import evaluate as interpret

from ..tiny_models import BLOCKS, CONVOLUTIONS, ELEMENTWISE, MATRICES, POOLS, Tiny

FORMS = {
    name: tiny
    for group in (CONVOLUTIONS, BLOCKS, POOLS, MATRICES, ELEMENTWISE)
    for name, tiny in group.items()
    if tiny.shape[:1] == (1,) and all(shape[:1] == (1,) for shape in tiny.more.values())
}
SAMPLES = 6


class TestEveryForm:
    @pytest.mark.parametrize("tiny", FORMS.values(), ids=FORMS)
    def test_stages_add_up_and_integers_without_limits_come_near(self, tiny: Tiny) -> None:
        model, x = tiny.proto(), tiny.samples(1, SAMPLES)
        module = import_model(model)
        rows = [[array[each : each + 1] for array in x.values()] for each in range(SAMPLES)]
        wanted = np.concatenate([interpret(module, row)[0] for row in rows])
        executable = compile_schedule(model, calibration=x, level=0)
        found = evaluate(executable, ArrayDataSet(x, wanted.astype(np.float32)), reference=model)
        errors = {stage.name: stage.scores["mse"] for stage in found.stages}
        assert sum(stage.loss for stage in found.stages) == pytest.approx(errors["schedule"], rel=1e-9)
        assert errors["saturation"] == errors["schedule"]
        power = float(np.square(wanted.astype(np.float64)).mean())
        # The ranges are those of the samples themselves, so that limits change little; rounding is what is left.
        assert errors["fixed point"] <= max(4 * errors["schedule"], 1e-3 * power)
