"""Every golden file holds: its pipeline makes of the upper module the lower one."""

from __future__ import annotations

from pathlib import Path

import pytest

from .golden import FOLDER, Golden, check_golden, golden_files

PASS_THROUGH = """// RUN: {pipeline}
module {{
  func @main(%x: tensor<2xf32>) -> tensor<2xf32> {{
    %0 = nn.abs %x : (tensor<2xf32>) -> tensor<2xf32>
    return %0 : tensor<2xf32>
  }}
}}
// -----
module {{
  func @main(%other_name: tensor<2xf32>) -> tensor<2xf32> {{
    %y = nn.{op} %other_name : (tensor<2xf32>) -> tensor<2xf32>
    return %y : tensor<2xf32>
  }}
}}
"""


@pytest.mark.parametrize("path", golden_files(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_golden(path: Path, update_goldens: bool) -> None:
    check_golden(path, update=update_goldens)


class TestCheckGolden:
    def write(self, folder: Path, op: str) -> Path:
        path = folder / "case.snir"
        path.write_text(PASS_THROUGH.format(pipeline="", op=op))
        return path

    def test_ignores_names_of_values(self, tmp_path: Path) -> None:
        check_golden(self.write(tmp_path, "abs"), update=False)

    def test_shows_the_first_difference_and_a_text_diff(self, tmp_path: Path) -> None:
        with pytest.raises(AssertionError, match=r"the other is nn\.abs[\s\S]*-.*nn\.neg[\s\S]*\+.*nn\.abs"):
            check_golden(self.write(tmp_path, "neg"), update=False)

    def test_update_writes_the_lower_half_and_keeps_the_upper(self, tmp_path: Path) -> None:
        path = self.write(tmp_path, "neg")
        before = Golden.read(path)
        check_golden(path, update=True)
        check_golden(path, update=False)
        after = Golden.read(path)
        assert (after.pipeline, after.source) == (before.pipeline, before.source)
        assert after.expected != before.expected

    def test_refuses_a_file_without_ruler(self, tmp_path: Path) -> None:
        path = tmp_path / "case.snir"
        path.write_text("// RUN: fold-constants\nmodule {}\n")
        with pytest.raises(ValueError, match="expected a line"):
            Golden.read(path)
