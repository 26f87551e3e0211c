"""The SpiNNaker2 machines: every number from a TOML file, with the geometry that follows from them.

QPEs (quad processing elements) are numbered row by row, holes left out; PE number = pes_per_qpe * QPE number + index.
Memories are numbered as in the program tables: first the data SRAM of each PE, then the DRAM ports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import attrs
from attrs import frozen

from ...ir.diagnostics import UsageError
from ..machine_file import Index, Presets, TomlFile, parse_toml

__all__ = ["Machine", "Qpe", "load_machine", "machine_names", "machine_text", "parse_machine"]

LARGEST_MEMORIES = 0xFFFF
"""The program tables number memories in 16 bits."""

USUAL: Mapping[tuple[str, str], tuple[float, float]] = {
    ("pe", "clock_hz"): (1e6, 1e11),
    ("noc", "clock_hz"): (1e6, 1e11),
    ("dram", "bytes_per_second"): (1e6, 1e14),
    ("host", "setup_seconds"): (0, 10),
    ("host", "layer_seconds"): (0, 10),
    ("host", "cleanup_seconds"): (0, 10),
    ("energy", "mac_joules"): (0, 1e-6),
    ("energy", "arm_clock_joules"): (0, 1e-6),
    ("energy", "dram_byte_joules"): (0, 1e-6),
    ("energy", "idle_watts"): (0, 1e4),
}
"""Values beyond these are in another unit than the key says: MHz, GB, microseconds, picojoules, milliwatts."""

LARGEST_SRAM = 1 << 31
"""Addresses are kept in 32 bits."""

PRESETS = Presets(__package__ or "")


class Qpe(NamedTuple):
    """Position of a quad processing element on the mesh; row 0 is the top, column 0 the left edge."""

    y: int
    x: int


@frozen
class Identity:
    """Name of the machine and where it is described."""

    name: str
    title: str
    source: str


@frozen
class Mesh:
    """Quad processing elements on a grid. A hole has a router but no PEs."""

    qpe_columns: int
    qpe_rows: int
    pes_per_qpe: int
    holes: tuple[Qpe, ...]
    source: str


@frozen
class Pe:
    """One processing element: clock in Hz, memory in bytes."""

    clock_hz: int
    sram_bytes: int
    code_bytes: Index
    data_bytes: int
    sram_port_bytes_per_clock: int
    source: str


@frozen
class MacArray:
    """The output-stationary MAC array: `columns` output columns by `rows` output channels a clock.

    `conv_*` and `matmul_*` multiples say to what operands are padded: input rows in bytes, filter channels, filters
    and matrix columns in elements, output rows in 32 bit words. The `..._per_ideal_clock` factors charge the stalls
    of operand fetching on top of the ideal MAC clocks.
    """

    columns: int
    rows: int
    accumulator_bits: int
    operand_bits: tuple[int, ...]
    result_bits: tuple[int, ...]
    fused_relu: bool
    fused_shift: bool
    conv_strides: tuple[int, ...]
    conv_input_row_bytes: int
    conv_filter_channels: int
    conv_filters: int
    conv_output_row_words: int
    matmul_a_columns: int
    matmul_b_columns: int
    matmul_result_columns: int
    clocks_per_16_bit_step: int
    result_bytes_per_clock: int
    weight_request_bytes: int
    weight_request_clocks: int
    input_start_bytes: int
    input_step_bytes: int
    input_step_clocks: int
    task_clocks: Index
    conv_1x1_clocks_per_ideal_clock: float
    conv_clocks_per_ideal_clock: float
    matmul_local_clocks_per_ideal_clock: float
    matmul_remote_clocks_per_ideal_clock: float
    source: str


@frozen
class Noc:
    """The network on chip. `router_limit` says whether the packet rate bounds a whole router or each of its lanes."""

    clock_hz: int
    packet_bytes: int
    hop_noc_clocks: int
    router_limit: Literal["router", "lane"]
    router_packets_per_noc_clock: int
    request_packets: Index
    pe_packets_per_clock: int
    routing: Literal["xy"]
    multicast: bool
    source: str


@frozen
class DramPort:
    """One DRAM port and the QPEs at whose routers its packets may enter and leave the mesh."""

    name: str
    attach_qpes: tuple[Qpe, ...]


@frozen
class Dram:
    """The DRAM ports; rate (bytes a second) and capacity (bytes) hold for each port."""

    bytes_per_second: int
    capacity_bytes: int
    alignment_bytes: int
    interface_clocks: Index
    attach_noc_clocks: Index
    source: str
    ports: tuple[DramPort, ...]


@frozen
class Host:
    """What starts tasks: PE clocks for a message to or from it, and fixed times in seconds."""

    interface_clocks: Index
    tasks_per_clock: int
    agent_qpes: tuple[Qpe, ...]
    setup_seconds: float
    layer_seconds: float
    cleanup_seconds: float
    source: str


@frozen
class Arm:
    """PE clocks of the ARM core's operations, published values."""

    pad_clocks_per_word: float
    quantize_clocks_per_element: float
    relu_i32_clocks_per_element: float
    relu_i8_clocks_per_element: float
    max_pool_i8_clocks_per_input: float
    max_pool_i32_clocks_per_input: float
    add_i32_clocks_per_element: float
    source: str


@frozen
class ArmEstimates:
    """PE clocks of the ARM core's other operations, estimated."""

    multiply_clocks_per_element: float
    average_pool_clocks_per_input: float
    table_clocks_per_element: float
    maximum_clocks_per_element: float
    softmax_clocks_per_element: float
    lrn_clocks_per_term: float
    copy_clocks_per_word: float
    source: str


@frozen
class DoubleBlock:
    """Blocks of QPEs that share a storage QPE and a DRAM port."""

    storage_qpe: Qpe
    dram_port: Index
    blocks: tuple[tuple[Qpe, ...], ...]

    @property
    def qpes(self) -> tuple[Qpe, ...]:
        """The compute QPEs, block by block."""
        return tuple(each for block in self.blocks for each in block)


@frozen
class FloorPlan:
    """Which QPEs compute together and which only store maps."""

    qpes_per_block: int
    blocks_per_double_block: int
    storage_qpes: tuple[Qpe, ...]
    source: str
    double_blocks: tuple[DoubleBlock, ...]


@frozen
class Energy:
    """Joules of one MAC (with all that the PE and NoC spend on it), one ARM clock, one DRAM byte; idle watts."""

    mac_joules: float
    arm_clock_joules: float
    dram_byte_joules: float
    idle_watts: float
    uncertainty_percent: float
    source: str


@frozen
class Machine:
    """A SpiNNaker2 machine."""

    machine: Identity
    mesh: Mesh
    pe: Pe
    mac_array: MacArray
    noc: Noc
    dram: Dram
    host: Host
    arm: Arm
    arm_estimates: ArmEstimates
    floor_plan: FloorPlan
    energy: Energy

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.machine.name

    @property
    def qpes(self) -> tuple[Qpe, ...]:
        """Every QPE, row by row, holes left out; the position in this tuple is the QPE's number."""
        holes = set(self.mesh.holes)
        grid = (Qpe(y, x) for y in range(self.mesh.qpe_rows) for x in range(self.mesh.qpe_columns))
        return tuple(each for each in grid if each not in holes)

    @property
    def compute_qpes(self) -> tuple[Qpe, ...]:
        """The QPEs of all blocks, double block by double block."""
        return tuple(each for double_block in self.floor_plan.double_blocks for each in double_block.qpes)

    @property
    def processing_elements(self) -> int:
        """Number of PEs."""
        return self.mesh.pes_per_qpe * (self.mesh.qpe_columns * self.mesh.qpe_rows - len(self.mesh.holes))

    @property
    def memories(self) -> int:
        """Number of memories: one for each PE, one for each DRAM port."""
        return self.processing_elements + len(self.dram.ports)

    def pe_of(self, qpe: Qpe, index: int) -> int:
        """Number of the PE `index` (0 .. pes_per_qpe - 1) of a QPE; ValueError when there is none."""
        if not 0 <= index < self.mesh.pes_per_qpe:
            raise ValueError(f"a QPE has no PE {index}")
        return self.qpes.index(qpe) * self.mesh.pes_per_qpe + index

    def qpe_of(self, pe: int) -> Qpe:
        """The QPE of a PE number; ValueError when there is none."""
        if not 0 <= pe < self.processing_elements:
            raise ValueError(f"the machine has no PE {pe}")
        return self.qpes[pe // self.mesh.pes_per_qpe]

    def attach_qpe(self, port: int, qpe: Qpe) -> Qpe:
        """Where packets between a DRAM port and `qpe` enter or leave the mesh: the nearest row, then column."""
        return min(self.dram.ports[port].attach_qpes, key=lambda each: (abs(each.y - qpe.y), abs(each.x - qpe.x), each))

    def nearest_port(self, qpe: Qpe) -> int:
        """The DRAM port with the fewest hops to `qpe`, the lowest of equals."""
        return min(range(len(self.dram.ports)), key=lambda port: (hops(self.attach_qpe(port, qpe), qpe), port))


def hops(start: Qpe, end: Qpe) -> int:
    """Routers that a packet passes on its way from one QPE to another, the first not counted."""
    return abs(start.y - end.y) + abs(start.x - end.x)


def machine_names() -> tuple[str, ...]:
    """The machines that come with snc, sorted."""
    return PRESETS.names()


def machine_text(name_or_path: str | Path) -> str:
    """The TOML text of a machine that comes with snc, or of a file; UsageError when there is no such thing."""
    return PRESETS.text(name_or_path)


def load_machine(name_or_path: str | Path) -> Machine:
    """A machine that comes with snc, by name, or one of the user's own, by path.

    Raises UsageError with every problem of the file at once: file and line, what was found, what was expected.
    """
    return parse_machine(machine_text(name_or_path), str(name_or_path))


def parse_machine(text: str, name: str) -> Machine:
    """The machine described by a TOML text; `name` stands for the text in diagnostics. Raises UsageError."""
    values, file = parse_toml(text, name)
    machine = file.read(Machine, values, ())
    if machine is not None:
        _check_units(machine, file)
        _check_sizes(machine, file)
        _check_mac_array(machine.mac_array, file)
        _check_positions(machine, file)
        _check_floor_plan(machine, file)
    if machine is None or file.problems:
        raise UsageError(file.problems)
    return machine


def _check_units(machine: Machine, file: TomlFile) -> None:
    for (table, key), (least, most) in USUAL.items():
        value = getattr(getattr(machine, table), key)
        if not least <= value <= most:
            unit = key.rsplit("_", 1)[-1]
            _impossible(file, (table, key), f"{value:g}", f"{least:g} to {most:g}: the unit is {unit}")


def _check_mac_array(array: MacArray, file: TomlFile) -> None:
    """What the compiler and the executor take for granted of the array."""
    for key in [each.name for each in attrs.fields(MacArray) if each.name.endswith("_per_ideal_clock")]:
        if getattr(array, key) < 1:
            _impossible(file, ("mac_array", key), f"{getattr(array, key):g}", "at least 1: ideal clocks are the least")
    if 1 not in array.conv_strides:
        _impossible(file, ("mac_array", "conv_strides"), f"{list(array.conv_strides)}", "1 among others")
    if 8 not in array.operand_bits:
        _impossible(file, ("mac_array", "operand_bits"), f"{list(array.operand_bits)}", "8 among others")
    if not 8 <= array.accumulator_bits <= 32:
        _impossible(file, ("mac_array", "accumulator_bits"), f"{array.accumulator_bits}", "8 to 32")


def _check_sizes(machine: Machine, file: TomlFile) -> None:
    pe = machine.pe
    if machine.memories > LARGEST_MEMORIES:
        _impossible(file, ("mesh",), f"{machine.memories} PEs and DRAM ports", f"at most {LARGEST_MEMORIES}")
    if pe.sram_bytes > LARGEST_SRAM:
        _impossible(file, ("pe", "sram_bytes"), f"{pe.sram_bytes}", f"at most {LARGEST_SRAM}")
    if pe.code_bytes + pe.data_bytes > pe.sram_bytes:
        found = f"{pe.code_bytes} + {pe.data_bytes} bytes"
        _impossible(file, ("pe", "data_bytes"), found, f"code and data in {pe.sram_bytes} bytes of SRAM")


def _check_positions(machine: Machine, file: TomlFile) -> None:
    mesh = machine.mesh
    for path, places, what in _positions(machine):
        for place in sorted(set(places)):
            if place.y >= mesh.qpe_rows or place.x >= mesh.qpe_columns:
                expected = f"rows below {mesh.qpe_rows}, columns below {mesh.qpe_columns}"
                _impossible(file, path, f"{what} {list(place)}", expected)
            elif place in mesh.holes and path[-1] != "holes":
                _impossible(file, path, f"{what} {list(place)} in a hole", "a QPE")
            if places.count(place) > 1:
                _impossible(file, path, f"{what} {list(place)} twice", "every QPE once")
    for number, port in enumerate(machine.dram.ports):
        if not port.attach_qpes:
            _impossible(file, ("dram", "ports", number, "attach_qpes"), "no QPE", "one or more")


def _check_floor_plan(machine: Machine, file: TomlFile) -> None:
    """Every QPE has one role at most, and blocks and double blocks have the stated size."""
    plan, ports = machine.floor_plan, len(machine.dram.ports)
    roles = dict.fromkeys(plan.storage_qpes, "storage_qpes")
    for number, double_block in enumerate(plan.double_blocks):
        path = ("floor_plan", "double_blocks", number)
        blocks = (*path, "blocks")
        if double_block.dram_port >= ports:
            _impossible(file, (*path, "dram_port"), f"{double_block.dram_port}", f"below {ports}, the number of ports")
        if double_block.storage_qpe not in plan.storage_qpes:
            _impossible(file, (*path, "storage_qpe"), f"{list(double_block.storage_qpe)}", "one of storage_qpes")
        if len(double_block.blocks) != plan.blocks_per_double_block:
            _impossible(file, blocks, f"{len(double_block.blocks)} blocks", f"{plan.blocks_per_double_block}")
        for block in double_block.blocks:
            if len(block) != plan.qpes_per_block:
                _impossible(file, blocks, f"a block of {len(block)} QPEs", f"{plan.qpes_per_block}")
        own = f"double block {number}"
        for place in dict.fromkeys(double_block.qpes):
            role = roles.setdefault(place, own)
            if role != own:
                _impossible(file, blocks, f"{list(place)}, which is in {role} too", "every QPE in one place")


def _positions(machine: Machine) -> Iterator[tuple[tuple[str | int, ...], tuple[Qpe, ...], str]]:
    yield ("mesh", "holes"), machine.mesh.holes, "hole"
    yield ("host", "agent_qpes"), machine.host.agent_qpes, "agent"
    for number, port in enumerate(machine.dram.ports):
        yield ("dram", "ports", number, "attach_qpes"), port.attach_qpes, "attach point"
    yield ("floor_plan", "storage_qpes"), machine.floor_plan.storage_qpes, "storage QPE"
    for number, double_block in enumerate(machine.floor_plan.double_blocks):
        yield ("floor_plan", "double_blocks", number, "blocks"), double_block.qpes, "compute QPE"


def _impossible(file: TomlFile, path: tuple[str | int, ...], found: str, expected: str) -> None:
    key = ".".join(str(part) for part in path)
    file.complain("SNC0506", path, f"{key} cannot be", found=found, expected=expected)
