"""Small machines for tests: the preset's text with few QPEs and little memory, so that tiny networks fill them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import strategies as st

from snc.backends.spinn2.machine import Machine, machine_text, parse_machine


def small_machine_text(
    *,
    double_blocks: int = 1,
    blocks: int = 1,
    qpes: int = 1,
    pes_per_qpe: int = 2,
    storage: int = 1,
    ports: int = 1,
    data_bytes: int = 4096,
    accumulator_bits: int = 29,
) -> str:
    """The text of a machine with one column of QPEs: first those that compute, then `storage` ones that keep maps."""
    compute = double_blocks * blocks * qpes
    text = machine_text("spinn2-2020")
    for key, value in {
        "qpe_columns": 1,
        "qpe_rows": compute + storage,
        "pes_per_qpe": pes_per_qpe,
        "data_bytes": data_bytes,
        "accumulator_bits": accumulator_bits,
        "agent_qpes": "[[0, 0]]",
    }.items():
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", text, flags=re.MULTILINE)
    head, rest = text.split("# A port enters the mesh", 1)
    middle, rest = rest[rest.index("[host]") :].split("[floor_plan]", 1)
    tail = rest[rest.index("[energy]") :]
    rows = [number * (compute + storage) // ports for number in range(ports)]
    dram = [f'[[dram.ports]]\nname = "port {n}"\nattach_qpes = [[{row}, 0]]\n' for n, row in enumerate(rows)]
    return "\n".join([head, *dram, middle, _floor_plan(double_blocks, blocks, qpes, storage, ports), tail])


def _floor_plan(double_blocks: int, blocks: int, qpes: int, storage: int, ports: int) -> str:
    compute = double_blocks * blocks * qpes
    lines = [
        "[floor_plan]",
        f"qpes_per_block = {qpes}",
        f"blocks_per_double_block = {blocks}",
        f"storage_qpes = {_places(range(compute, compute + storage))}",
        'source = "a test"',
    ]
    for number in range(double_blocks):
        first = number * blocks * qpes
        members = [_places(range(start, start + qpes)) for start in range(first, first + blocks * qpes, qpes)]
        lines += [
            "[[floor_plan.double_blocks]]",
            f"storage_qpe = [{compute + number % storage}, 0]",
            f"dram_port = {number % ports}",
            f"blocks = [{', '.join(members)}]",
        ]
    return "\n".join(lines)


def _places(rows: Sequence[int]) -> str:
    return "[" + ", ".join(f"[{row}, 0]" for row in rows) + "]"


def small_machine(**sizes: int) -> Machine:
    """The machine of `small_machine_text`."""
    return parse_machine(small_machine_text(**sizes), "small.toml")


def small_machines(*, least_bytes: int = 2048, most_bytes: int = 8192) -> st.SearchStrategy[Machine]:
    """Machines with 1 to 32 computing PEs of `least_bytes` to `most_bytes` bytes."""
    return st.builds(
        small_machine,
        double_blocks=st.sampled_from((1, 2)),
        blocks=st.sampled_from((1, 2)),
        qpes=st.sampled_from((1, 2)),
        pes_per_qpe=st.sampled_from((1, 2, 4)),
        storage=st.sampled_from((1, 2)),
        ports=st.integers(1, 3),
        data_bytes=st.integers(least_bytes // 16, most_bytes // 16).map(lambda words: 16 * words),
        accumulator_bits=st.sampled_from((20, 24, 29, 32)),
    )
