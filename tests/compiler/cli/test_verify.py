"""snc verify: sound tables, right values, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from snc.compiler.executable import Executable, load

from .conftest import DIGITS, Snc
from .nets import conv_net, save

CALIBRATION = DIGITS / "calibration.npz"


def tampered(source: Path, table: str, column: str, value: int, target: Path) -> Path:
    """An artefact whose hashes are right and whose `table` has another value in its last row."""
    executable = load(source)
    program = executable.program
    rows = getattr(program, table).copy()
    rows[column][-1] = value
    changed = type(program)(
        **{name: getattr(program, name) for name in program.__slots__ if name != "__weakref__"} | {table: rows}
    )
    Executable(
        executable.module,
        changed,
        executable.machine_text,
        executable.target,
        executable.mapping,
        executable.options,
        executable.source_sha256,
    ).save(target)
    return target


class TestVerify:
    def test_good_artefact(self, snc: Snc, digits: Path) -> None:
        verified = snc("verify", digits, "--rebuild", DIGITS / "digits_cnn.onnx", "--calibrate", CALIBRATION)
        assert verified.exit_code == 0, verified.output
        assert [line.split()[:2] for line in verified.stdout.splitlines()] == [
            ["ok", "tables:"],
            ["ok", "values:"],
            ["ok", "rebuild:"],
        ]

    def test_json(self, snc: Snc, digits: Path) -> None:
        document = json.loads(snc("verify", digits, "--samples", 1, "--json").stdout)
        assert document["ok"] and document["checks"] == {"tables": True, "values": True}

    def test_program_that_computes_something_else(self, snc: Snc, digits: Path) -> None:
        bad = tampered(digits, "shapes", "high", 3, Path("bad.snc"))
        verified = snc("verify", bad)
        assert verified.exit_code == 4
        assert "error[SNC0721]" in verified.stderr and "FAILED  values" in verified.stdout

    def test_program_that_reads_what_nobody_wrote(self, snc: Snc, digits: Path) -> None:
        bad = tampered(digits, "buffers", "last", 0, Path("bad.snc"))
        document = json.loads(snc("verify", bad, "--json").stdout)
        assert document["exit_code"] == 4 and not document["checks"]["tables"]
        assert {note["code"] for note in document["diagnostics"]} == {"SNC0720"}

    def test_rebuild_needs_the_samples_of_the_build(self, snc: Snc, digits: Path) -> None:
        verified = snc("verify", digits, "--rebuild", DIGITS / "digits_cnn.onnx")
        assert verified.exit_code == 2 and "error[SNC0723]" in verified.stderr

    def test_rebuild_from_another_model_differs(self, snc: Snc, tmp_path: Path) -> None:
        net = save(conv_net(), tmp_path / "net.onnx")
        other = save(conv_net(weight=2.0), tmp_path / "other.onnx")
        assert snc("build", net, "--bits", 16, "--mapping", "baseline").exit_code == 0
        assert snc("verify", "net.snc", "--rebuild", net).exit_code == 0
        verified = snc("verify", "net.snc", "--rebuild", other)
        assert verified.exit_code == 4 and "not the model that the artefact was built from" in verified.stderr

    def test_rebuild_with_other_samples_differs(self, snc: Snc, digits: Path) -> None:
        np.savez("other.npz", image=np.full((1, 1, 28, 28), 0.5, np.float32))
        verified = snc("verify", digits, "--rebuild", DIGITS / "digits_cnn.onnx", "--calibrate", "other.npz")
        assert verified.exit_code == 4 and "weights.safetensors" in verified.stderr

    def test_rebuild_takes_the_level_of_the_build(self, snc: Snc, tmp_path: Path) -> None:
        net = save(conv_net(), tmp_path / "net.onnx")
        assert snc("build", net, "-O0").exit_code == 0
        assert snc("verify", "net.snc", "--rebuild", net).exit_code == 0

    def test_steps_that_do_not_wait_for_each_other(self, snc: Snc, digits: Path) -> None:
        before = int(load(digits).program.depends["before"][-2])
        bad = tampered(digits, "depends", "before", before, Path("bad.snc"))
        document = json.loads(snc("verify", bad, "--json").stdout)
        assert document["exit_code"] == 4
        assert {note["code"] for note in document["diagnostics"]} == {"SNC0724"}
