"""The SpiNNaker1 machines: every number from a TOML file, with the chips, cores and links that follow from them."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

from ...ir.diagnostics import UsageError
from ..machine_file import Presets, TomlFile, parse_toml
from .description import (
    Board,
    Chip,
    Core,
    CoreUnit,
    CycleCosts,
    Defects,
    Dtcm,
    Energy,
    Identity,
    Mesh,
    Router,
    Sdram,
    System,
)

__all__ = ["LINKS", "Chip", "Machine", "load_machine", "machine_names", "machine_text", "parse_machine"]

PRESETS = Presets(__package__ or "")

LINKS: tuple[tuple[int, int], ...] = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
"""Step of each link: 0 east, 1 north-east, 2 north, 3 west, 4 south-west, 5 south; (link + 3) % 6 leads back."""

LARGEST_SIDE = 256
"""Coordinates of a chip are 8 bits each."""
MOST_CORES = 18
"""The route word has bits for 6 links and 18 cores."""


@frozen(slots=False)
class Machine:
    """A SpiNNaker1 machine."""

    machine: Identity
    mesh: Mesh
    board: Board
    defects: Defects
    system: System
    core: CoreUnit
    dtcm: Dtcm
    sdram: Sdram
    router: Router
    costs: CycleCosts
    energy: Energy

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.machine.name

    def with_monitors(self, monitors: bool) -> Machine:
        """The same machine with the toolchain's monitors on or off."""
        return evolve(self, system=evolve(self.system, monitors=monitors))

    @property
    def width(self) -> int:
        """Columns of the grid."""
        return self.mesh.width_chips

    @property
    def height(self) -> int:
        """Rows of the grid."""
        return self.mesh.height_chips

    @cached_property
    def chips(self) -> tuple[Chip, ...]:
        """Every working chip, board by board; on a board column by column, up and down in turn.

        Each chip but the first of a whole board neighbours the one before it. The position in this tuple is the
        chip's number.
        """
        dead = set(self.defects.dead_chips)
        return tuple(chip for board in self.board_chips for chip in board if chip not in dead)

    @cached_property
    def board_chips(self) -> tuple[tuple[Chip, ...], ...]:
        """The chips of each board, dead ones too, in the order of `chips`."""
        return tuple(
            tuple(self.at(origin.x + chip.x, origin.y + chip.y) for chip in _snake(self.board))
            for origin in self.mesh.board_origins
        )

    def at(self, x: int, y: int) -> Chip:
        """The position (x, y), taken around the sides where the mesh wraps."""
        return Chip(x % self.width, y % self.height) if self.mesh.wraps else Chip(x, y)

    @cached_property
    def number(self) -> NDArray[np.int32]:
        """[height, width]: number of each chip, -1 where there is none."""
        numbers = np.full((self.height, self.width), -1, np.int32)
        numbers[[chip.y for chip in self.chips], [chip.x for chip in self.chips]] = np.arange(len(self.chips))
        return numbers

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """[chips, 6]: number of the chip at the end of each link, -1 where the link is dead or leads nowhere."""
        chips = np.array(self.chips, np.int64).reshape(-1, 2)
        ends = chips[:, None, :] + np.array(LINKS)
        side = np.array([self.width, self.height])
        inside = ((ends >= 0) & (ends < side)).all(axis=2)
        ends %= side
        found = self.number[ends[..., 1], ends[..., 0]]
        found[~inside & (not self.mesh.wraps)] = -1
        for x, y, link in self.defects.dead_links:
            if self.number[y, x] >= 0:
                found[self.number[y, x], link] = -1
        return found

    @cached_property
    def cores(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the cores of each chip that are free for applications, in rising order."""
        few = {Chip(each.x, each.y): each.cores for each in self.board.smaller_chips}
        broken = set(self.defects.dead_cores)
        counts = {}
        for chips in self.board_chips:
            for place, chip in zip(_snake(self.board), chips, strict=True):
                kept = self.system.scamp_cores_per_chip
                if self.system.monitors:
                    kept += self.system.monitor_cores_per_chip
                    kept += self.system.gatherer_cores_per_board if place == Chip(0, 0) else 0
                whole = range(few.get(place, self.board.cores_per_chip))
                counts[chip] = tuple(each for each in whole if Core(*chip, each) not in broken)[kept:]
        return tuple(counts[chip] for chip in self.chips)

    @property
    def application_cores(self) -> int:
        """How many cores are free for applications."""
        return sum(len(each) for each in self.cores)


def _snake(board: Board) -> tuple[Chip, ...]:
    """The chips of a board in its own coordinates: columns from the left, up and down in turn."""
    places = [Chip(row.first_column + i, y) for y, row in enumerate(board.chip_rows) for i in range(row.chips)]
    return tuple(sorted(places, key=lambda chip: (chip.x, -chip.y if chip.x % 2 else chip.y)))


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
        _check_sizes(machine, file)
    if machine is not None and not file.problems:
        _check_boards(machine, file)
    if machine is not None and not file.problems:
        _check_defects(machine, file)
    if machine is None or file.problems:
        raise UsageError(file.problems)
    return machine


def _check_sizes(machine: Machine, file: TomlFile) -> None:
    for key, side in (("width_chips", machine.width), ("height_chips", machine.height)):
        if side > LARGEST_SIDE:
            _impossible(file, ("mesh", key), f"{side}", f"at most {LARGEST_SIDE}")
    board, router, core = machine.board, machine.router, machine.core
    if not machine.mesh.board_origins:
        _impossible(file, ("mesh", "board_origins"), "no board", "one or more")
    if len(board.chip_rows) > LARGEST_SIDE or any(sum(row) > LARGEST_SIDE for row in board.chip_rows):
        _impossible(file, ("board", "chip_rows"), "a board larger than a machine", f"at most {LARGEST_SIDE} a side")
    chips = len(machine.mesh.board_origins) * sum(row.chips for row in board.chip_rows)
    if chips > machine.width * machine.height:
        expected = f"at most {machine.width} x {machine.height}"
        _impossible(file, ("mesh", "board_origins"), f"{chips} chips on all boards", expected)
    if board.cores_per_chip > MOST_CORES:
        _impossible(file, ("board", "cores_per_chip"), f"{board.cores_per_chip}", f"at most {MOST_CORES}")
    for each in board.smaller_chips:
        if each.cores > MOST_CORES:
            _impossible(file, ("board", "smaller_chips"), f"{each.cores} cores", f"at most {MOST_CORES}")
    if router.application_entries > router.entries:
        found = f"{router.application_entries} of {router.entries}"
        _impossible(file, ("router", "application_entries"), found, "no more than there are")
    if router.key_bits > 32 or router.colour_bits >= router.key_bits:
        _impossible(file, ("router", "key_bits"), f"{router.key_bits}", "at most 32, and more than colour_bits")
    if core.ring_buffer_entries & (core.ring_buffer_entries - 1) or core.ring_buffer_entries > 1 << 14:
        found = f"{core.ring_buffer_entries}"
        _impossible(file, ("core", "ring_buffer_entries"), found, "a power of two of at most 16384")
    if core.dtcm_bytes > 1 << 16:
        _impossible(file, ("core", "dtcm_bytes"), f"{core.dtcm_bytes}", "at most 65536")
    if core.row_words > 256:
        _impossible(file, ("core", "row_words"), f"{core.row_words}", "at most 256: the table holds 8 bits of it")
    if core.neurons_per_core > 1 << 12:
        _impossible(file, ("core", "neurons_per_core"), f"{core.neurons_per_core}", "at most 4096")


def _check_boards(machine: Machine, file: TomlFile) -> None:
    places = [chip for board in machine.board_chips for chip in board]
    outside = [chip for chip in places if not (0 <= chip.x < machine.width and 0 <= chip.y < machine.height)]
    for chip in sorted(set(outside)):
        found, sides = f"chip {list(chip)}", f"within {machine.width} x {machine.height} chips"
        _impossible(file, ("mesh", "board_origins"), found, sides)
    twice = sorted(chip for chip, times in Counter(places).items() if times > 1)
    if twice:
        _impossible(file, ("mesh", "board_origins"), f"chip {list(twice[0])} twice", "boards that do not overlap")
    on_board = set(_snake(machine.board))
    for each in machine.board.smaller_chips:
        if Chip(each.x, each.y) not in on_board:
            _impossible(file, ("board", "smaller_chips"), f"[{each.x}, {each.y}]", "a chip of the board")


def _check_defects(machine: Machine, file: TomlFile) -> None:
    chips = {chip for board in machine.board_chips for chip in board}
    defects = machine.defects
    listed = (
        ("dead_chips", [(chip, chip) for chip in defects.dead_chips]),
        ("dead_cores", [(Chip(each.x, each.y), each) for each in defects.dead_cores]),
        ("dead_links", [(Chip(each.x, each.y), each) for each in defects.dead_links]),
    )
    for key, pairs in listed:
        for chip, each in pairs:
            if chip not in chips:
                _impossible(file, ("defects", key), f"{list(each)}", "a chip of the machine")
    for core in defects.dead_cores:
        if not machine.system.scamp_cores_per_chip <= core.core < MOST_CORES:
            expected = f"{machine.system.scamp_cores_per_chip} .. {MOST_CORES - 1}; without its monitor a chip is dead"
            _impossible(file, ("defects", "dead_cores"), f"core {core.core}", expected)
    for link in defects.dead_links:
        if link.link >= len(LINKS):
            _impossible(file, ("defects", "dead_links"), f"link {link.link}", f"0 .. {len(LINKS) - 1}")
    if not machine.chips:
        _impossible(file, ("defects", "dead_chips"), "no chip left", "one or more")
    elif not machine.application_cores:
        _impossible(file, ("system",), "no core left for applications", "one or more")


def _impossible(file: TomlFile, path: tuple[str | int, ...], found: str, expected: str) -> None:
    key = ".".join(str(part) for part in path)
    file.complain("SNC0506", path, f"{key} cannot be", found=found, expected=expected)
