"""One layer of a schedule, in detail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..executable import Executable


def layer_detail(executable: Executable, index: int) -> dict[str, Any]:
    """The row of the layer, with its tasks by kernel and its transfers by phase."""
    import numpy as np

    from ...ir.dialects.spinn2_tables import Kernel, Phase
    from ..summary import layer_rows, transfer_bytes

    program = executable.program
    tasks = program.tasks[program.tasks["layer"] == index]
    own = program.transfers["layer"] == index
    phases, sizes = program.transfers["phase"][own], transfer_bytes(program)[own]
    kernels = np.bincount(program.shapes["kernel"][tasks["shape"]], minlength=max(Kernel) + 1)
    steps = np.concatenate([tasks["step"], program.transfers["step"][own]])
    return {
        "index": index,
        **layer_rows(executable)[index],
        "first_step": int(steps.min(initial=0xFFFF_FFFF)) if len(steps) else 0,
        "last_step": int(steps.max(initial=0)),
        "tasks_by_kernel": {kernel.name.lower(): int(kernels[kernel]) for kernel in Kernel if kernels[kernel]},
        "bytes_by_phase": {
            phase.name.lower(): int(sizes[phases == phase].sum()) for phase in Phase if (phases == phase).any()
        },
    }


def print_layer(detail: Mapping[str, Any]) -> None:
    """One layer as a person reads it."""
    from .console import bytes_text, count_text, print_facts
    from .schedule_report import extents

    kernels = ", ".join(f"{count} {name}" for name, count in detail["tasks_by_kernel"].items())
    phases = ", ".join(f"{bytes_text(size)} {name}" for name, size in detail["bytes_by_phase"].items())
    print_facts(
        f"layer {detail['index']}  {detail['kind']}",
        [
            *(("node", node) for node in detail["name"].split(" + ")),
            ("result", extents(detail["shape"])),
            ("pieces", f"{detail['pieces']} of at most {extents(detail['piece'])}"),
            ("PEs", str(detail["processing_elements"])),
            ("steps", f"{detail['first_step']} to {detail['last_step']}"),
            ("tasks", f"{detail['tasks']}: {kernels}" if kernels else "0"),
            ("MACs", count_text(detail["macs_scheduled"])),
            ("transfers", str(detail["transfers"])),
            ("moved", f"{bytes_text(detail['bytes_moved'])} ({phases})" if phases else "0 B"),
        ],
    )
