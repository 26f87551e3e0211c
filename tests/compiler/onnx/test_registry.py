"""The table of operators agrees with the definitions in the onnx package."""

from __future__ import annotations

import onnx.defs
import pytest

from snc.compiler.onnx.registry import NEWEST_OPSET, OLDEST_OPSET, REASONS, REGISTRY, OnnxOperator, support_table

STANDARD = [entry for entry in support_table() if not entry.domain]


def versions_in_force(op_type: str) -> dict[int, bool]:
    """The versions of an operator that a model of a known opset may mean, and whether each is deprecated."""
    opsets = [opset for opset in range(OLDEST_OPSET, NEWEST_OPSET + 1) if onnx.defs.has(op_type, opset)]
    schemas = [onnx.defs.get_schema(op_type, opset) for opset in opsets]
    return {schema.since_version: schema.deprecated for schema in schemas}


class TestTable:
    @pytest.mark.parametrize("entry", STANDARD, ids=lambda entry: entry.op_type)
    def test_every_version_in_force_is_understood(self, entry: OnnxOperator) -> None:
        in_force = versions_in_force(entry.op_type)
        required = {version for version, deprecated in in_force.items() if not deprecated}
        assert required <= set(entry.versions) <= set(in_force)
        assert sorted(entry.versions) == list(entry.versions)

    def test_keys_are_domain_and_name(self) -> None:
        assert all((entry.domain, entry.op_type) == key for key, entry in REGISTRY.items())
        assert len(REGISTRY) == len(support_table())

    def test_opsets_are_shown_as_a_range(self) -> None:
        shown = {(entry.domain, entry.op_type): entry.opsets for entry in support_table()}
        assert shown["", "Upsample"] == "7-9"
        assert shown["", "Gelu"] == f"20-{NEWEST_OPSET}"
        assert shown["onnx.brevitas", "Quant"] == "any"

    def test_reasons_are_for_operators_that_are_not_taken(self) -> None:
        assert not {("", name) for name in REASONS} & set(REGISTRY)
