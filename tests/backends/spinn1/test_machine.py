"""The machine descriptions of SpiNNaker1: published numbers, geometry, refusal of wrong files."""

from __future__ import annotations

import re

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.backends.spinn1.costs import timer_costs
from snc.backends.spinn1.machine import LINKS, Chip, Machine, load_machine, machine_names, machine_text, parse_machine
from snc.ir.diagnostics import UsageError

TEXT = machine_text("spinn5")


@pytest.fixture(params=machine_names())
def machine(request: pytest.FixtureRequest) -> Machine:
    return load_machine(request.param)


def refusal(text: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse_machine(text, "my.toml")
    return caught.value


class TestPresets:
    def test_are_named_as_their_files(self, machine: Machine) -> None:
        assert machine.name in machine_names() and load_machine(machine.name) == machine

    def test_name_a_source_for_every_table(self, machine: Machine) -> None:
        sections = [getattr(machine, field.name) for field in attrs.fields(Machine)]
        assert all(section.source for section in sections if section is not machine.defects)

    @pytest.mark.parametrize(
        ("name", "chips", "cores", "free", "free_without_monitors", "links"),
        [
            ("spinn3", 4, 72, 63, 68, 16),
            ("spinn5", 48, 856, 759, 808, 240),
            ("spinn5-3", 144, 3 * 856, 3 * 759, 3 * 808, 144 * 6),
            ("spinn5-24", 1152, 24 * 856, 24 * 759, 24 * 808, 1152 * 6),
        ],
    )
    def test_have_the_known_size(
        self, name: str, chips: int, cores: int, free: int, free_without_monitors: int, links: int
    ) -> None:
        machine = load_machine(name)
        without = machine.with_monitors(False)
        assert (len(machine.chips), machine.application_cores) == (chips, free)
        assert without.application_cores == free_without_monitors == cores - chips
        assert np.count_nonzero(machine.neighbours >= 0) == links

    def test_give_the_timer_its_costs(self, machine: Machine) -> None:
        costs = timer_costs(machine)
        assert costs.core.hertz == 200_000_000 and costs.energy.chip_w * len(machine.chips) > 1


class TestMesh:
    def test_links_lead_back(self, machine: Machine) -> None:
        neighbours = machine.neighbours
        start, link = np.nonzero(neighbours >= 0)
        assert np.array_equal(neighbours[neighbours[start, link], (link + 3) % len(LINKS)], start)

    def test_chips_of_a_board_follow_their_neighbours(self) -> None:
        machine = load_machine("spinn5")
        beside = machine.neighbours
        assert all(number in beside[number - 1] for number in range(1, len(machine.chips)))

    def test_of_three_boards_has_no_edge(self) -> None:
        assert (load_machine("spinn5-3").neighbours >= 0).all()

    def test_monitors_take_the_first_cores(self) -> None:
        machine = load_machine("spinn5")
        by_chip = dict(zip(machine.chips, machine.cores, strict=True))
        assert by_chip[Chip(0, 0)] == tuple(range(3, 18))
        assert by_chip[Chip(1, 1)] == tuple(range(2, 17))
        assert by_chip[Chip(4, 4)] == tuple(range(2, 18))

    def test_defects_are_left_out(self) -> None:
        text = TEXT.replace("dead_chips = []", "dead_chips = [[0, 1]]").replace(
            "dead_cores = []", "dead_cores = [[2, 2, 9]]"
        )
        machine = parse_machine(text.replace("dead_links = []", "dead_links = [[4, 4, 0]]"), "my.toml")
        assert Chip(0, 1) not in machine.chips and machine.application_cores == 759 - 16 - 1
        here = machine.number[4, 4]
        assert machine.neighbours[here, 0] == -1 and machine.neighbours[machine.number[4, 5], 3] == here


class TestRefusal:
    def test_names_every_missing_key(self) -> None:
        keys = re.findall(r"^(\w+) = .*[^\[]$", TEXT, flags=re.MULTILINE)
        for key in sorted(set(keys)):
            text = re.sub(rf"^{key} = .*\n", "", TEXT, count=1, flags=re.MULTILINE)
            assert any(f"{key} is missing" in each.message for each in refusal(text).diagnostics), key

    @pytest.mark.parametrize(
        ("old", "new", "found"),
        [
            ("width_chips = 8", "width_chips = 300", "300"),
            ("width_chips = 8", "width_chips = 7", "chip [7, 3]"),
            ("board_origins = [[0, 0]]", "board_origins = []", "no board"),
            ("board_origins = [[0, 0]]", "board_origins = [[0, 0], [0, 0]]", "96 chips on all boards"),
            ("cores_per_chip = 18", "cores_per_chip = 19", "19"),
            ("dtcm_bytes = 63_488", "dtcm_bytes = 65_537", "65537"),
            ("[1, 1, 17]", "[7, 0, 17]", "[7, 0]"),
            ("dead_chips = []", "dead_chips = [[7, 0]]", "[7, 0]"),
            ("dead_cores = []", "dead_cores = [[0, 0, 0]]", "core 0"),
            ("dead_links = []", "dead_links = [[0, 0, 6]]", "link 6"),
            ("ring_buffer_entries = 16_384", "ring_buffer_entries = 16_000", "16000"),
            ("application_entries = 1_023", "application_entries = 1_025", "1025 of 1024"),
            ("row_words = 256", "row_words = 257", "257"),
            ("key_bits = 32", "key_bits = 33", "33"),
            ("monitor_cores_per_chip = 1", "monitor_cores_per_chip = 17", "no core left for applications"),
        ],
    )
    def test_of_an_impossible_machine(self, old: str, new: str, found: str) -> None:
        assert TEXT.count(old) == 1
        problems = refusal(TEXT.replace(old, new)).diagnostics
        assert found in [each.found for each in problems]
        assert all(each.node.startswith("my.toml:") for each in problems)

    def test_of_boards_that_overlap(self) -> None:
        text = machine_text("spinn5-3").replace("[4, 8]", "[0, 1]")
        assert "chip [0, 1] twice" in [each.found for each in refusal(text).diagnostics]

    def test_of_a_machine_without_a_living_chip(self) -> None:
        every = ", ".join(f"[{x}, {y}]" for x, y in load_machine("spinn5").chips)
        problems = refusal(TEXT.replace("dead_chips = []", f"dead_chips = [{every}]")).diagnostics
        assert "no chip left" in [each.found for each in problems]

    def test_says_what_a_list_is_made_of(self) -> None:
        (problem,) = refusal(TEXT.replace("dead_cores = []", "dead_cores = [[0, 0]]")).diagnostics
        assert problem.expected == "a list of [x, y, core], whole numbers of at least 0"

    @settings(deadline=None, max_examples=100)
    @given(st.data())
    def test_of_damaged_files_is_never_another_error(self, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(TEXT) - 1))
        size = data.draw(st.integers(0, 40))
        patch = data.draw(st.text(st.sampled_from("[]=\"'#_.-019eE\n nan,{}"), max_size=8))
        try:
            assert isinstance(parse_machine(TEXT[:start] + patch + TEXT[start + size :], "my.toml"), Machine)
        except UsageError as error:
            assert error.diagnostics
