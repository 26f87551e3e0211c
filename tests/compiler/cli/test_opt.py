"""snc opt: passes on text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snc.ir.compare import structurally_equal
from snc.ir.parser import parse_module
from snc.passes.program_file import load_program

from .conftest import DIGITS, Snc

TEXT = """module {
  func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
    %a = builtin.constant {value = dense<[1.0, 2.0]> : tensor<2xf32>} : () -> tensor<2xf32>
    %b = nn.add %a, %a : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %y = nn.add %x, %b : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    return %y : tensor<2xf32>
  }
}
"""


class TestOpt:
    def test_reads_standard_input_and_prints(self, snc: Snc) -> None:
        done = snc("opt", "--pipeline", "fold-constants", stdin=TEXT)
        assert done.exit_code == 0 and done.stdout.count("nn.add") == 1
        parse_module(done.stdout)

    def test_first_line_says_what_to_run(self, snc: Snc) -> None:
        Path("x.snir").write_text(f"// RUN: fold-constants\n{TEXT}")
        assert snc("opt", "x.snir").stdout.count("nn.add") == 1
        assert snc("opt", "x.snir", "--pipeline", "fold-batch-norm").stdout.count("nn.add") == 2

    def test_no_pipeline_at_all(self, snc: Snc) -> None:
        Path("x.snir").write_text(TEXT)
        done = snc("opt", "x.snir")
        assert done.exit_code == 2 and "--pipeline" in done.stderr

    def test_model_through_a_whole_target(self, snc: Snc) -> None:
        calibration = ("--calibrate", DIGITS / "calibration.npz")
        done = snc("opt", DIGITS / "digits_cnn.onnx", "--pipeline", "spinn2", *calibration, "-o", "out.snir")
        assert done.exit_code == 0 and done.stdout == ""
        text = Path("out.snir").read_text()
        assert text.count("= tile.block") == 3 and Path("out.npz").is_file()
        split = "split-layers{elements=144 accumulator-bits=29 reuse=false}"
        again = snc("opt", "out.snir", "--pipeline", split, "-o", "again.snir")
        assert again.exit_code == 0, again.output
        assert structurally_equal(load_program(Path("out.snir")), load_program(Path("again.snir")))

    def test_json(self, snc: Snc) -> None:
        document = json.loads(snc("opt", "--pipeline", "graph", "--json", stdin=TEXT).stdout)
        assert document["pipeline"].startswith("fold-constants,") and document["ir"].startswith("module {")

    def test_prints_after_a_pass(self, snc: Snc) -> None:
        done = snc("opt", "--pipeline", "fold-constants", "--print-ir-after", "all", "--pass-timing", stdin=TEXT)
        assert "module {" in done.stderr and "s  total" in done.stderr

    @pytest.mark.parametrize("text", ["", "module {", "func", "\x00\xff", TEXT.replace("nn.add", "nn.ad")])
    def test_text_that_is_no_module(self, snc: Snc, text: str) -> None:
        done = snc("opt", "--pipeline", "fold-constants", stdin=text)
        assert done.exit_code == 2 and "<stdin>" in done.stderr

    def test_bytes_that_are_no_text(self, snc: Snc) -> None:
        assert snc("opt", "--pipeline", "fold-constants", stdin=b"\xff\xfe").exit_code == 5

    def test_module_that_breaks_a_rule(self, snc: Snc) -> None:
        line = "    return %y : tensor<2xf32>\n"
        wrong = TEXT.replace(line, 2 * line)
        done = snc("opt", "--pipeline", "fold-constants", stdin=wrong)
        assert done.exit_code == 1 and "error[" in done.stderr

    @pytest.mark.parametrize("pipeline", ["fold-constant", "quantize{bitz=8}", "quantize{bits=7}", "a,,b", "x{"])
    def test_bad_pipelines(self, snc: Snc, pipeline: str) -> None:
        done = snc("opt", "--pipeline", pipeline, stdin=TEXT)
        assert done.exit_code == 2 and "error[SNC036" in done.stderr

    def test_output_over_the_input(self, snc: Snc) -> None:
        Path("x.snir").write_text(TEXT)
        assert snc("opt", "x.snir", "--pipeline", "fold-constants", "-o", "x.snir").exit_code == 2
        assert Path("x.snir").read_text() == TEXT

    def test_shape_is_for_models(self, snc: Snc) -> None:
        assert snc("opt", "--shape", "x=3", "--pipeline", "fold-constants", stdin=TEXT).exit_code == 2
