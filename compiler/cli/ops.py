"""snc ops: the ONNX operators that are taken."""

from __future__ import annotations

import click

from .options import json_option


@click.command(epilog="\b\nExamples:\n  snc ops\n  snc ops Conv\n  snc ops --json\n")
@click.argument("name", required=False)
@json_option
def ops(name: str | None, as_json: bool) -> int:
    """List the ONNX operators that are taken, in which opsets, and what they become."""
    from ...ir.diagnostics import Diagnostic, UnsupportedOperator
    from ..onnx.registry import REASONS, support_table
    from .console import print_json, print_table, say
    from .options import nearest

    table = support_table()
    rows = [
        {
            "operator": entry.op_type,
            "domain": entry.domain or "ai.onnx",
            "opsets": entry.opsets,
            "becomes": entry.becomes,
            "note": entry.note,
        }
        for entry in table
        if name is None or entry.op_type.lower() == name.lower()
    ]
    if not rows:
        help = nearest(name or "", [entry.op_type for entry in table])
        raise UnsupportedOperator(
            Diagnostic("SNC0706", f"the operator {name} is not taken", found=REASONS.get(name or "", ""), help=help)
        )
    if as_json:
        print_json("ops", {"operators": rows})
        return 0
    headings = ["operator", "domain", "opsets", "becomes", "note"]
    if all(row["domain"] == "ai.onnx" for row in rows):
        headings.remove("domain")
    print_table(headings, [[row[heading] for heading in headings] for row in rows])
    if name is None:
        say()
        say(f"{len(rows)} operators")
    return 0
