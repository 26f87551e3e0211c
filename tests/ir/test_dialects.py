"""Every dialect is in the default context, and its operations are named and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

import snc.ir.dialects
from snc.ir.context import Dialect
from snc.ir.core import Operation
from snc.ir.dialects import default_context

DIALECTS = default_context().dialects


def test_default_context_has_every_dialect() -> None:
    folder = Path(snc.ir.dialects.__file__).parent
    files = {path.stem for path in folder.iterdir() if not path.name.startswith("__")}
    assert {dialect.name for dialect in DIALECTS} == {name for name in files if not name.endswith("_tables")}


def test_default_context_is_made_once() -> None:
    assert default_context() is default_context()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
class TestDialect:
    def test_names_its_operations(self, dialect: Dialect) -> None:
        for op in dialect.ops:
            assert op.name.startswith(f"{dialect.name}.")
            assert default_context().ops[op.name] is op

    def test_explains_its_operations(self, dialect: Dialect) -> None:
        assert all(op.__doc__ for op in dialect.ops)

    def test_operations_say_their_result_types(self, dialect: Dialect) -> None:
        base = Operation.infer
        assert all(op.infer is not base for op in dialect.ops)
