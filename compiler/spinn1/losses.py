"""What a run of a netlist lost: sums that were clamped, packets that were late or found no room."""

from __future__ import annotations

from ...ir.diagnostics import Diagnostic
from ...runtime.spinn1.event_layout import Count
from ...runtime.spinn1.events import EventResult
from ...runtime.spinn1.netlist import Netlist
from ...runtime.spinn1.reference import Result


def saturated(netlist: Netlist, result: Result) -> list[Diagnostic]:
    """A warning for each population whose receptors were clamped."""
    return [
        Diagnostic(
            "SNC0587",
            "sums of a receptor were clamped at 65535 units",
            node=label,
            found=f"{count} sums in {len(result.outputs)} samples",
            help="a coarser weight format, or code16, which is clamped in no case",
            severity="warning",
        )
        for label, count in zip(netlist.labels, result.saturations.tolist(), strict=True)
        if count
    ]


def late_or_lost(netlist: Netlist, result: EventResult) -> Diagnostic:
    """How many packets were late or lost; a warning if any were."""
    late, lost = int(result.counts[:, Count.LATE].sum()), int(result.counts[:, Count.LOST].sum())
    return Diagnostic(
        "SNC0586",
        f"{late} packets were late and {lost} were lost at a step of {netlist.tick_us} us",
        found=f"of {int(result.counts[:, Count.PACKETS].sum())} that arrived in {len(result.outputs)} samples",
        help="snc profile names the shortest step in which none is late" if late or lost else "",
        severity="warning" if late or lost else "note",
    )
