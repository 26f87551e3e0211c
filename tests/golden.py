"""Golden files: a pipeline, a module, and the module that the pipeline makes of it.

    // RUN: fold-constants,fold-batch-norm
    module { ... }
    // -----
    module { ... }

The modules are compared structurally: names of values do not matter, locations only where the expected module has some.
`pytest --update-goldens` writes the lower half anew.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from attrs import frozen

from snc.ir.compare import difference
from snc.ir.dialects import default_context
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.parser import parse_module
from snc.ir.printer import print_module
from snc.ir.verifier import verify
from snc.passes.pipeline import parse_pipeline

FOLDER = Path(__file__).parent / "goldens"
RUN = "// RUN: "
RULER = "// -----\n"


@frozen
class Golden:
    """A golden file, read."""

    path: Path
    pipeline: str
    source: str
    expected: str

    @classmethod
    def read(cls, path: Path) -> Golden:
        """Raises ValueError when the file has not the form above."""
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        source, ruler, expected = rest.partition(RULER)
        if not first.startswith(RUN) or not ruler:
            raise ValueError(f"{path.name}: expected a line '{RUN}...', a module, a line '{RULER.strip()}', a module")
        return cls(path, first.removeprefix(RUN).strip(), source, expected)

    def run(self) -> ModuleOp:
        """What the pipeline makes of the upper module; both are verified."""
        module = parse_module(self.source, name=self.path.name)
        verify(module, default_context())
        parse_pipeline(self.pipeline).run(module)
        verify(module, default_context())
        return module


def golden_files(folder: Path = FOLDER) -> list[Path]:
    """Every golden file, in order of the names: goldens/<pass>/<case>.snir."""
    return sorted(folder.glob("*/*.snir"))


def check_golden(path: Path, *, update: bool) -> None:
    """Runs a golden file; raises AssertionError with a text diff, or with `update` writes what the pipeline makes."""
    golden = Golden.read(path)
    module = golden.run()
    locations = "loc(" in (golden.expected or golden.source)
    found = print_module(module, locations=locations)
    if update:
        path.write_text(f"{RUN}{golden.pipeline}\n{golden.source}{RULER}{found}", encoding="utf-8")
        return
    expected = parse_module(golden.expected, name=path.name)
    first = difference(expected, module, locations=locations)
    if first is not None:
        lines = difflib.unified_diff(
            print_module(expected, locations=locations).splitlines(),
            found.splitlines(),
            "expected",
            f"found after {golden.pipeline}",
            lineterm="",
        )
        raise AssertionError("\n".join([f"{path.parent.name}/{path.name}: {first}", *lines]))
