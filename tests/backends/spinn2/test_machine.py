"""The machine descriptions: the numbers that publications give, the geometry, and the refusal of wrong files."""

import os
import re
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn2.machine import Machine, Qpe, hops, load_machine, machine_names, machine_text, parse_machine
from snc.ir.diagnostics import UsageError

TEXT_2020 = machine_text("spinn2-2020")
DOUBLE_BLOCK_OUTLINES = [
    # rows, columns: as published; III comes after IV, round the ring
    (range(4), range(2)),
    (range(2), range(2, 6)),
    (range(2, 6), range(4, 6)),
    (range(4, 6), range(4)),
]


@pytest.fixture(params=machine_names())
def machine(request: pytest.FixtureRequest) -> Machine:
    return load_machine(request.param)


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_machine(text, "my.toml")
    return caught.value


def line_of(text: str, start: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith(start))


@attrs.frozen
class Entry:
    """A line `key = value` of a machine's text, and the line of its table."""

    text: str
    line: int
    table_line: int
    path: str

    @property
    def key(self) -> str:
        return self.path.rsplit(".", 1)[-1]

    @property
    def rest(self) -> str:
        """What stands behind the equals sign on the key's line."""
        return self.text.splitlines()[self.line - 1].split("=", 1)[1].strip()

    @property
    def value(self) -> str:
        return self.rest.split("#")[0].strip()

    def written(self, line: str) -> str:
        """The text with another line in place of this one."""
        lines = self.text.splitlines()
        return "\n".join([*lines[: self.line - 1], line, *lines[self.line :]])

    def without(self) -> str:
        """The text without the entry, however many lines it takes; no line before it moves."""
        lines = self.text.splitlines()
        size = 1 if not self.value.endswith("[") else lines[self.line - 1 :].index("]") + 1
        return "\n".join([*lines[: self.line - 1], *lines[self.line - 1 + size :]])


def entries(text: str) -> list[Entry]:
    """All entries, in order; the tables of an array are numbered."""
    found: list[Entry] = []
    counts: dict[str, int] = {}
    table, table_line = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\[+([\w.]+)\]", line)
        key = re.match(r"(\w+) = ", line)
        if header:
            table, table_line = header[1], number
            if line.startswith("[["):
                counts[table] = counts.get(table, -1) + 1
                table += f"[{counts[table]}]"
        elif key:
            found.append(Entry(text, number, table_line, f"{table}.{key[1]}"))
    return found


class TestPresets:
    def test_are_named_as_their_files(self, machine: Machine) -> None:
        assert machine_text(machine.name) and machine.name in machine_names()

    def test_name_a_source_for_every_table(self, machine: Machine) -> None:
        sections = [getattr(machine, field.name) for field in attrs.fields(Machine)]
        assert all(section.source for section in sections)

    def test_of_2020_have_the_published_size(self) -> None:
        machine = load_machine("spinn2-2020")
        assert (len(machine.qpes), machine.processing_elements, machine.memories) == (36, 144, 148)
        assert machine.pe.data_bytes == 96 * 1024
        dram_bytes_per_pe_clock = len(machine.dram.ports) * machine.dram.bytes_per_second / machine.pe.clock_hz
        assert dram_bytes_per_pe_clock == 32

    def test_of_the_chip_have_the_published_size(self) -> None:
        machine = load_machine("spinn2-chip")
        assert (len(machine.qpes), machine.processing_elements, machine.memories) == (38, 152, 154)
        assert {Qpe(2, 3), Qpe(3, 3)} <= set(machine.mesh.holes)
        peak_operations = 2 * machine.processing_elements * machine.mac_array.columns * machine.mac_array.rows
        assert peak_operations * machine.pe.clock_hz == pytest.approx(5.837e12, rel=1e-3)

    def test_of_2020_have_the_published_double_blocks(self) -> None:
        blocks = load_machine("spinn2-2020").floor_plan.double_blocks
        assert [each.storage_qpe for each in blocks] == [(3, 2), (2, 2), (2, 3), (3, 3)]
        outlines = [{Qpe(y, x) for y in rows for x in columns} for rows, columns in DOUBLE_BLOCK_OUTLINES]
        assert [set(each.qpes) for each in blocks] == outlines

    def test_of_2020_have_blocks_on_a_ring(self) -> None:
        """Each QPE of a block is two steps away from the one at its place in the next block."""
        plan = load_machine("spinn2-2020").floor_plan
        blocks = [block for double_block in plan.double_blocks for block in double_block.blocks]
        for block, following in zip(blocks, [*blocks[1:], blocks[0]], strict=True):
            ways = {(there.y - here.y, there.x - here.x) for here, there in zip(block, following, strict=True)}
            assert len(ways) == 1
            assert ways <= {(0, 2), (2, 0), (0, -2), (-2, 0)}

    def test_give_every_double_block_eight_compute_qpes(self, machine: Machine) -> None:
        assert [len(each.qpes) for each in machine.floor_plan.double_blocks] == [8, 8, 8, 8]
        assert len(set(machine.compute_qpes)) == 32
        assert not set(machine.compute_qpes) & set(machine.floor_plan.storage_qpes)

    def test_of_2020_serve_each_quadrant_from_its_own_port(self) -> None:
        machine = load_machine("spinn2-2020")
        assert all(machine.nearest_port(each) == 2 * (each.y // 3) + each.x // 3 for each in machine.qpes)

    def test_are_equal_when_loaded_twice_and_hashable(self, machine: Machine) -> None:
        assert load_machine(machine.name) == machine
        assert hash(load_machine(machine.name)) == hash(machine)


class TestNumbering:
    def test_counts_qpes_row_by_row(self) -> None:
        machine = load_machine("spinn2-2020")
        assert machine.pe_of(Qpe(0, 1), 0) == 4
        assert machine.pe_of(Qpe(1, 0), 3) == 27

    def test_leaves_holes_out(self) -> None:
        machine = load_machine("spinn2-chip")
        assert machine.pe_of(Qpe(0, 4), 0) == machine.pe_of(Qpe(0, 2), 3) + 1

    def test_of_a_pe_leads_back_to_its_qpe(self, machine: Machine) -> None:
        pes = [machine.pe_of(each, index) for each in machine.qpes for index in range(machine.mesh.pes_per_qpe)]
        assert pes == list(range(machine.processing_elements))
        assert [machine.qpe_of(pe) for pe in pes[::4]] == list(machine.qpes)

    def test_refuses_what_is_not_there(self) -> None:
        machine = load_machine("spinn2-chip")
        with pytest.raises(ValueError):
            machine.pe_of(Qpe(2, 3), 0)
        with pytest.raises(ValueError):
            machine.pe_of(Qpe(0, 0), 4)
        with pytest.raises(ValueError):
            machine.qpe_of(machine.processing_elements)


class TestAttach:
    @pytest.mark.parametrize(("row", "entry"), [(0, 0), (2, 2), (4, 2)])
    def test_is_at_the_row_of_the_destination_or_the_nearest_of_its_half(self, row: int, entry: int) -> None:
        assert load_machine("spinn2-2020").attach_qpe(0, Qpe(row, 3)) == (entry, 0)

    def test_hops_are_the_manhattan_distance(self) -> None:
        assert hops(Qpe(0, 0), Qpe(2, 5)) == 7 == hops(Qpe(2, 5), Qpe(0, 0))


class TestRefusal:
    def test_names_the_line_of_a_wrong_value(self) -> None:
        error = refusal(TEXT_2020.replace("qpe_rows = 6", "qpe_rows = -6"))
        (problem,) = error.diagnostics
        assert problem.node == f"my.toml:{line_of(TEXT_2020, 'qpe_rows')}"
        assert (problem.found, problem.expected) == ("-6", "a whole number of at least 1")
        assert error.exit_code == 2

    @pytest.mark.parametrize("name", machine_names())
    def test_names_every_missing_key_and_the_line_of_its_table(self, name: str) -> None:
        for entry in entries(machine_text(name)):
            text = entry.without()
            found = [each for each in refusal(text).diagnostics if each.message == f"{entry.path} is missing"]
            assert [each.node for each in found] == [f"my.toml:{entry.table_line}"], entry.path

    @pytest.mark.parametrize("name", machine_names())
    def test_names_every_negative_number_and_its_line(self, name: str) -> None:
        numbers = [entry for entry in entries(machine_text(name)) if re.fullmatch(r"[\d_.e+-]+", entry.value)]
        numbers = [entry for entry in numbers if entry.value != "0"]
        assert len(numbers) > 50
        for entry in numbers:
            found = refusal(entry.written(f"{entry.key} = -{entry.value.replace('0.0', '1')}")).diagnostics
            assert [each.node for each in found] == [f"my.toml:{entry.line}"], entry.path
            assert found[0].message == f"{entry.path} is wrong"

    @pytest.mark.parametrize("name", machine_names())
    def test_suggests_the_key_for_every_misspelt_one(self, name: str) -> None:
        for entry in entries(machine_text(name)):
            wrong = entry.key[:2] + entry.key[3:] if len(entry.key) > 4 else entry.key + "x"
            found = refusal(entry.written(f"{wrong} = {entry.rest}")).diagnostics
            unknown = [each for each in found if each.message.endswith(f"{wrong} is unknown")]
            assert [each.node for each in unknown] == [f"my.toml:{entry.line}"], entry.path
            assert entry.key in unknown[0].help

    @pytest.mark.parametrize(
        ("table", "key", "value", "unit"),
        [
            ("pe", "clock_hz", "250", "hz"),
            ("noc", "clock_hz", "500", "hz"),
            ("dram", "bytes_per_second", "2", "second"),
            ("host", "setup_seconds", "39.0", "seconds"),
            ("energy", "mac_joules", "0.97", "joules"),
            ("energy", "dram_byte_joules", "40.0", "joules"),
            ("energy", "idle_watts", "235_000.0", "watts"),
        ],
    )
    def test_says_which_unit_is_meant(self, table: str, key: str, value: str, unit: str) -> None:
        (entry,) = (each for each in entries(TEXT_2020) if each.path == f"{table}.{key}")
        (problem,) = refusal(entry.written(f"{key} = {value}")).diagnostics
        assert problem.node == f"my.toml:{entry.line}"
        assert problem.message == f"{table}.{key} cannot be" and f"the unit is {unit}" in problem.expected

    def test_names_every_missing_table(self) -> None:
        for field in attrs.fields(Machine):
            text = TEXT_2020.replace(f"[{field.name}]", "[other]").replace(f"[[{field.name}.", "[[other.")
            messages = [each.message for each in refusal(text).diagnostics]
            assert f"{field.name} is missing" in messages and "other is unknown" in messages

    def test_suggests_the_known_key(self) -> None:
        (unknown, missing) = refusal(TEXT_2020.replace("routing =", "ruoting =")).diagnostics
        assert unknown.help == "did you mean routing?"
        assert missing.message == "noc.routing is missing"

    def test_says_that_the_unit_is_wrong(self) -> None:
        problems = refusal(TEXT_2020.replace("clock_hz = 250_000_000", "clock_mhz = 250")).diagnostics
        assert problems[0].help == "give it as clock_hz: the key names the unit"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("clock_hz", "true"),
            ("clock_hz", "2.5e8"),
            ("clock_hz", "0"),
            ("clock_hz", "0x" + "f" * 5000),
            ("title", '""'),
            ("title", "3"),
            ("multicast", "0"),
            ("multicast", '"no"'),
            ("routing", '"yx"'),
            ("operand_bits", "8"),
            ("operand_bits", "[]"),
            ("operand_bits", "[8, 8]"),
            ("storage_qpes", "[[2, 2, 2]]"),
            ("storage_qpes", "[2, 2]"),
            ("storage_qpe", "[[3, 2]]"),
            ("pad_clocks_per_word", "nan"),
            ("pad_clocks_per_word", "inf"),
            ("pad_clocks_per_word", "-1.0"),
            ("pad_clocks_per_word", "true"),
        ],
    )
    def test_of_a_wrong_type_or_range(self, key: str, value: str) -> None:
        text = re.sub(rf"^{key} = .*$", f"{key} = {value}", TEXT_2020, count=1, flags=re.MULTILINE)
        (problem,) = refusal(text).diagnostics
        assert problem.node == f"my.toml:{line_of(TEXT_2020, f'{key} =')}"
        assert problem.message.endswith(f"{key} is wrong") and problem.expected

    @pytest.mark.parametrize(
        ("old", "new", "found"),
        [
            ("holes = []", "holes = [[6, 0]]", "hole [6, 0]"),
            ("holes = []", "holes = [[2, 1]]", "compute QPE [2, 1] in a hole"),
            ("data_bytes = 98_304", "data_bytes = 98_305", "32768 + 98305 bytes"),
            ("qpe_rows = 6", "qpe_rows = 100_000", "2400004 PEs and DRAM ports"),
            ("storage_qpe = [3, 2]", "storage_qpe = [0, 0]", "[0, 0]"),
            ("dram_port = 3", "dram_port = 4", "4"),
            ("qpes_per_block = 4", "qpes_per_block = 2", "a block of 4 QPEs"),
            ("blocks_per_double_block = 2", "blocks_per_double_block = 3", "2 blocks"),
            ("[[4, 4], [4, 5]", "[[3, 5], [4, 5]", "compute QPE [3, 5] twice"),
            ("[[4, 4], [4, 5]", "[[5, 3], [4, 5]", "[5, 3], which is in double block 2 too"),
            ("[[4, 4], [4, 5]", "[[2, 2], [4, 5]", "[2, 2], which is in storage_qpes too"),
            ("[[4, 4], [4, 5]", "[[4, 6], [4, 5]", "compute QPE [4, 6]"),
            ("[[0, 0], [1, 0], [2, 0]]", "[]", "no QPE"),
            ("conv_clocks_per_ideal_clock = 1.18", "conv_clocks_per_ideal_clock = 0.9", "0.9"),
            ("conv_strides = [1]", "conv_strides = [2]", "[2]"),
            ("operand_bits = [8, 16]", "operand_bits = [16]", "[16]"),
            ("accumulator_bits = 29", "accumulator_bits = 33", "33"),
            ("sram_bytes = 131_072", "sram_bytes = 4_294_967_296", "4294967296"),
        ],
    )
    def test_of_an_impossible_machine(self, old: str, new: str, found: str) -> None:
        assert TEXT_2020.count(old) == 1
        problems = refusal(TEXT_2020.replace(old, new)).diagnostics
        assert found in [each.found for each in problems]
        assert all(each.node.startswith("my.toml:") for each in problems)

    def test_gathers_all_problems(self) -> None:
        text = TEXT_2020.replace("qpe_rows = 6", "qpe_rows = 0").replace("[noc]", "[nok]")
        assert len(refusal(text).diagnostics) == 3

    def test_of_text_that_is_no_toml(self) -> None:
        assert "line 2" in refusal("[mesh]\nx = = 3\n").diagnostics[0].found

    def test_of_an_unknown_name_suggests_a_known_one(self) -> None:
        with pytest.raises(UsageError, match="did you mean spinn2-chip"):
            load_machine("spin2-chip")

    def test_of_files_that_are_not_text(self, tmp_path: Path) -> None:
        fifo, binary, large = tmp_path / "fifo", tmp_path / "binary.toml", tmp_path / "large.toml"
        os.mkfifo(fifo)
        binary.write_bytes(b"\xff\xfe")
        large.write_bytes(b"#" * (2 << 20))
        for path in (fifo, binary, large, tmp_path, tmp_path / "absent"):
            with pytest.raises(UsageError):
                load_machine(path)

    @settings(deadline=None, max_examples=150)
    @given(st.data())
    def test_of_damaged_files_is_never_another_error(self, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(TEXT_2020) - 1))
        size = data.draw(st.integers(0, 40))
        patch = data.draw(st.text(st.sampled_from("[]=\"'#_.-019eE\n nan,{}"), max_size=8))
        text = TEXT_2020[:start] + patch + TEXT_2020[start + size :]
        try:
            assert isinstance(parse_machine(text, "my.toml"), Machine)
        except UsageError as error:
            assert error.diagnostics


class TestFile:
    def test_of_the_user_is_loaded_by_path(self, tmp_path: Path) -> None:
        path = tmp_path / "own.toml"
        path.write_text(TEXT_2020.replace("clock_hz = 250_000_000", "clock_hz = 150_000_000"))
        assert load_machine(path).pe.clock_hz == 150_000_000
        assert load_machine(str(path)) == load_machine(path)
