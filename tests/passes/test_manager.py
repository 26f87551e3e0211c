"""The pass manager and its instruments."""

from __future__ import annotations

import io
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from attrs import frozen

from snc.ir.attributes import FloatAttr
from snc.ir.compare import difference, structurally_equal
from snc.ir.diagnostics import Diagnostic, ModelError, UnsupportedOperator, VerifyError
from snc.ir.dialects import nn
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.location import Location
from snc.ir.rewriter import Rewriter
from snc.passes.base import Pass, PassContext
from snc.passes.graph.fold_constants import FoldConstants
from snc.passes.instruments import DumpStages, Instrument, PrintIR, Reproducer, Step, Timing
from snc.passes.manager import PassManager
from snc.passes.pipeline import parse_pipeline
from snc.passes.program_file import load_program

from .nets import Net, only, ops_of


@frozen
class Raise(Pass):
    """Raises the low limit of every clamp by one, and says so."""

    name: ClassVar[str] = "raise"

    def run(self, module: ModuleOp, context: PassContext) -> None:
        for op in module.walk():
            if isinstance(op, nn.ClampOp):
                Rewriter().set_attribute(op, "low", FloatAttr(op.low + 1))
                context.warnings.append(Diagnostic("SNC0000", "raised", severity="warning"))


@frozen
class Break(Pass):
    """Leaves a clamp whose limit is no number."""

    name: ClassVar[str] = "break"

    def run(self, module: ModuleOp, context: PassContext) -> None:
        Rewriter().set_attribute(only(module, nn.ClampOp), "low", FloatAttr(float("nan")))


@frozen
class Crash(Pass):
    """Changes something, then fails."""

    name: ClassVar[str] = "crash"

    def run(self, module: ModuleOp, context: PassContext) -> None:
        Raise().run(module, context)
        raise KeyError("lost")


@frozen
class Refuse(Pass):
    """Refuses every model."""

    name: ClassVar[str] = "refuse"

    def run(self, module: ModuleOp, context: PassContext) -> None:
        raise ModelError(Diagnostic("SNC0000", "not this one"))


@frozen
class Finish(Pass):
    """Claims to leave fixed-point operations alone."""

    name: ClassVar[str] = "finish"
    establishes: ClassVar[str | None] = "fixed-point"

    def run(self, module: ModuleOp, context: PassContext) -> None:
        pass


class Log(Instrument):
    """Writes down what it sees."""

    def __init__(self, name: str, lines: list[str]) -> None:
        self.name, self.lines = name, lines

    def before(self, step: Step, module: ModuleOp) -> None:
        self.lines.append(f"{self.name} before {step.index} {step.current}")

    def after(self, step: Step, module: ModuleOp, changed: bool) -> None:
        self.lines.append(f"{self.name} after {step.index} {step.current} {changed}")

    def failed(self, step: Step, module: ModuleOp, error: Exception) -> None:
        self.lines.append(f"{self.name} failed {step.index} {type(error).__name__}")


def module() -> ModuleOp:
    net = Net((2, 40))
    op = nn.ClampOp(x=net(nn.MatMulOp(lhs=net.x, rhs=net.random(40, 3))), low=0.0, location=Location(("/relu",)))
    return net.module(net(op))


class TestPassManager:
    def test_runs_passes_in_order_and_returns_their_warnings(self) -> None:
        program = module()
        context = PassManager([Raise(), Raise()]).run(program)
        assert only(program, nn.ClampOp).low == 2
        assert [d.message for d in context.warnings] == ["raised", "raised"]

    def test_fills_the_context_that_it_is_given(self) -> None:
        context = PassContext()
        assert PassManager([Raise()]).run(module(), context) is context
        assert len(context.warnings) == 1

    def test_instruments_nest_and_learn_whether_the_module_changed(self) -> None:
        lines: list[str] = []
        PassManager([Raise(), FoldConstants()], [Log("outer", lines), Log("inner", lines)]).run(module())
        assert lines == [
            "outer before 0 raise",
            "inner before 0 raise",
            "inner after 0 raise True",
            "outer after 0 raise True",
            "outer before 1 fold-constants",
            "inner before 1 fold-constants",
            "inner after 1 fold-constants False",
            "outer after 1 fold-constants False",
        ]

    def test_names_the_pass_that_failed(self) -> None:
        lines: list[str] = []
        with pytest.raises(KeyError) as caught:
            PassManager([Raise(), Crash()], [Log("log", lines)]).run(module())
        assert caught.value.__notes__ == ["in pass 2 of 2: crash"]
        assert lines[-1] == "log failed 1 KeyError"

    def test_verifies_after_each_pass(self) -> None:
        with pytest.raises(VerifyError, match="/relu") as caught:
            PassManager([Raise(), Break(), Crash()]).run(module())
        assert caught.value.__notes__ == ["in pass 2 of 3: break"]

    def test_verifies_the_input_before_it_blames_a_pass(self) -> None:
        program = module()
        PassManager([Break()], checks=False).run(program)
        with pytest.raises(VerifyError) as caught:
            PassManager([Raise()]).run(program)
        assert not hasattr(caught.value, "__notes__")

    def test_checks_the_stage_that_a_pass_establishes(self) -> None:
        with pytest.raises(UnsupportedOperator, match=r"/relu: no form of nn\.clamp"):
            PassManager([Finish()]).run(module())
        PassManager([Finish()], checks=False).run(module())

    def test_checks_nothing_when_told_so(self) -> None:
        program = module()
        PassManager([Break()], checks=False).run(program)
        assert np.isnan(only(program, nn.ClampOp).low)


class TestTiming:
    def test_has_a_row_for_each_pass_and_a_sum(self) -> None:
        timing = Timing()
        PassManager([Raise(), FoldConstants(max_bytes=3)], [timing]).run(module())
        assert [text for text, _ in timing.rows] == ["raise", "fold-constants{max-bytes=3}"]
        assert all(seconds > 0 for _, seconds in timing.rows)
        assert str(timing).splitlines()[-1].endswith("total")


class TestPrintIR:
    def heads(self, instrument: PrintIR, stream: io.StringIO) -> list[str]:
        PassManager([Raise(), FoldConstants()], [instrument]).run(module())
        return [line for line in stream.getvalue().splitlines() if line.startswith("//")]

    def test_prints_after_every_pass(self) -> None:
        stream = io.StringIO()
        assert self.heads(PrintIR(stream=stream), stream) == ["// after raise", "// after fold-constants"]
        assert stream.getvalue().count("nn.clamp") == 2

    def test_prints_around_chosen_passes(self) -> None:
        stream = io.StringIO()
        heads = self.heads(PrintIR({"raise"}, before=True, stream=stream), stream)
        assert heads == ["// before raise", "// after raise"]

    def test_leaves_out_what_did_not_change(self) -> None:
        stream = io.StringIO()
        assert self.heads(PrintIR(only_changed=True, stream=stream), stream) == ["// after raise"]

    def test_prints_to_standard_error_by_default(self, capsys: pytest.CaptureFixture[str]) -> None:
        PassManager([Raise()], [PrintIR()]).run(module())
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.startswith("// after raise\nmodule")


class TestDumpStages:
    def test_writes_the_input_and_every_stage(self, tmp_path: Path) -> None:
        folder = tmp_path / "new" / "stages"
        program = module()
        PassManager([Raise(), FoldConstants()], [DumpStages(folder)]).run(program)
        assert sorted(path.name for path in folder.glob("*.snir")) == [
            "00-input.snir",
            "01-raise.snir",
            "02-fold-constants.snir",
        ]
        assert structurally_equal(load_program(folder / "00-input.snir"), module())
        assert difference(load_program(folder / "02-fold-constants.snir"), program, locations=True) is None


class TestReproducer:
    def test_writes_the_input_of_the_failing_pass_and_the_rest_of_the_pipeline(self, tmp_path: Path) -> None:
        path = tmp_path / "crash.snir"
        expected = module()
        Raise().run(expected, PassContext())
        with pytest.raises(KeyError) as caught:
            PassManager([Raise(), Crash(), FoldConstants(max_bytes=3)], [Reproducer(path)]).run(module())
        assert path.read_text().splitlines()[0] == "// RUN: crash,fold-constants{max-bytes=3}"
        assert difference(load_program(path), expected, locations=True) is None
        assert str(path) in caught.value.__notes__[-1]

    def test_its_first_line_is_a_pipeline(self, tmp_path: Path) -> None:
        path = tmp_path / "crash.snir"
        passes = parse_pipeline("fold-constants{max-bytes=1}").passes
        with pytest.raises(VerifyError):
            PassManager([Break(), *passes], [Reproducer(path)]).run(module())
        rest = path.read_text().splitlines()[0].removeprefix("// RUN: break,")
        parse_pipeline(rest).run(program := load_program(path))
        assert ops_of(program) == ["nn.matmul", "nn.clamp"]

    def test_writes_nothing_when_the_model_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ModelError):
            PassManager([Refuse()], [Reproducer(tmp_path / "crash.snir")]).run(module())
        assert list(tmp_path.iterdir()) == []
