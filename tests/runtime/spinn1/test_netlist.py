"""Tables that break the contract are refused; whatever is accepted runs the same in every way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

from snc.ir.dialects.spinn1 import NetlistOp
from snc.ir.dialects.spinn1_tables import TABLES, WORD_TABLES
from snc.runtime.spinn1.errors import NetlistError
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.netlist import SCALARS, Netlist

from .netlists import Shape, draw, random_samples, random_shape
from .test_executor import assert_equal

EXTREMES = (0, 1, 2, 3, 5, 15, 16, 255, 256, 4096, 65535, 1 << 20, (1 << 31) - 1)


def mutated(netlist: Netlist, rng: np.random.Generator) -> Netlist:
    """The netlist with one field of one row, one word or one number changed."""
    name = str(rng.choice([name for name in (*TABLES, *WORD_TABLES) if len(getattr(netlist, name))] + ["scalar"]))
    if name == "scalar":
        scalar = str(rng.choice(SCALARS))
        return attrs.evolve(netlist, **{scalar: int(rng.choice(EXTREMES))})
    table = getattr(netlist, name).copy()
    column = table[str(rng.choice(table.dtype.names))] if table.dtype.names else table
    row, info = int(rng.integers(len(table))), np.iinfo(column.dtype)
    old = int(column[row])
    new = (
        int(rng.choice(EXTREMES)),
        old ^ 1 << int(rng.integers(info.bits)),
        old + int(rng.integers(-3, 4)),
        int(rng.integers(info.min, int(info.max) + 1)),
    )[int(rng.integers(4))]
    column[row] = min(max(new, int(info.min)), int(info.max))
    return attrs.evolve(netlist, **{name: table})


def survives(netlist: Netlist, x: np.ndarray) -> bool:
    """Whether a netlist is accepted; then machine code and reference agree."""
    try:
        netlist.validate()
        executor = Executor(netlist)
        found = executor.run(x)
    except NetlistError:
        return False
    if found.steps < 500:
        assert_equal(found, Executor(netlist, jit="off").run(x))
    return True


def row(table: str, column: str, value: int, at: int = 0) -> Callable[[Netlist], dict[str, Any]]:
    """What sets one field."""

    def change(netlist: Netlist) -> dict[str, Any]:
        copy = getattr(netlist, table).copy()
        copy[column][at] = value
        return {table: copy}

    return change


def parameter(at: int, value: int) -> Callable[[Netlist], dict[str, Any]]:
    """What sets one word of the first vertex's parameters."""

    def change(netlist: Netlist) -> dict[str, Any]:
        words = netlist.parameters.copy()
        words[at] = value
        return {"parameters": words}

    return change


class TestValidate:
    def test_mutated_netlists_are_refused_or_run(self) -> None:
        outcome = []
        for seed in range(40):
            rng = np.random.default_rng(seed)
            netlist = draw(rng, random_shape(rng)).netlist
            x = random_samples(rng, netlist, 5)
            outcome += [survives(mutated(netlist, rng), x) for _ in range(12)]
        assert 0 < sum(outcome) < len(outcome)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda netlist: {"tiles": 0}, "tiles"),
            (lambda netlist: {"interval": 0}, "interval"),
            (lambda netlist: {"labels": ()}, "labels"),
            (lambda netlist: {"vertices": netlist.vertices[:-1]}, "vertices"),
            (lambda netlist: {"words": netlist.words.astype(np.int64)}, "words"),
            (lambda netlist: {"words": netlist.words[:-1]}, r"vertices\[\d\].words"),
            (lambda netlist: {"key_stride": 1 << 3}, "key stride"),
            (lambda netlist: {"key_stride": 1 << 31}, "32 bits"),
            (row("populations", "kind", 7), r"populations\[0\].kind"),
            (row("populations", "first_neuron", 3, 1), r"populations\[1\].first_neuron"),
            (row("populations", "shift_inh", 16, 1), r"populations\[1\].shift_inh"),
            (row("populations", "delay_bits", 15, 1), "at most 16 bits"),
            (row("populations", "index_bits", 1, 1), "enough for neurons_per_core"),
            (row("vertices", "count", 9), r"vertices\[0\].count"),
            (row("vertices", "key", 1), r"vertices\[0\].key"),
            (row("vertices", "mask", 0xFFFF_FFFF), r"vertices\[0\].mask"),
            (row("vertices", "first_word", 1 << 30, 4), r"vertices\[4\].words"),
            (row("sources", "neuron", 1), r"sources\[0\].neuron"),
            (row("sources", "element", -2), r"sources\[0\].element"),
            (row("outputs", "neuron", 99), r"outputs\[0\].neuron"),
            (row("outputs", "neuron", 0), "no source"),
            (row("outputs", "due", 99), r"outputs\[0\].due"),
            (row("placements", "p", 0), "free for applications"),
            (row("placements", "x", 200), "a chip that lives"),
            (row("chips", "links", 0xFF), r"chips\[0\].links"),
            (row("routes", "key", 0xFFFF_FFFF), r"routes\[0\].key"),
            (row("routes", "route", 0xFFFF_FFFF), r"routes\[0\].route"),
            (parameter(0, 2), "steps_per_timestep"),
            (parameter(2, 5), "v_rest"),
            (parameter(4, 1 << 15), "tau_m"),
            (parameter(3, 4), "cm"),
            (parameter(7, 1), "tau_refrac"),
        ],
    )
    def test_names_the_first_bad_row(self, change: Callable[[Netlist], dict[str, Any]], message: str) -> None:
        netlist = draw(np.random.default_rng(1), Shape()).netlist
        netlist.validate()
        bad = attrs.evolve(netlist, **change(netlist))
        with pytest.raises(NetlistError, match=message):
            bad.validate()

    def test_refuses_two_vertices_on_one_core(self) -> None:
        netlist = draw(np.random.default_rng(1), Shape()).netlist
        placements = netlist.placements.copy()
        for column in ("x", "y", "p"):
            placements[column][3] = placements[column][2]
        with pytest.raises(NetlistError, match=r"placements\[3\].p.*\n.*\n.*no other vertex"):
            attrs.evolve(netlist, placements=placements).validate()


class TestOf:
    def test_an_operation_holds_a_netlist(self) -> None:
        netlist = draw(np.random.default_rng(2), Shape()).netlist
        fields = {name: getattr(netlist, name) for name in ("machine", *SCALARS, "labels", *TABLES, *WORD_TABLES)}
        op = NetlistOp(values=(), **fields)
        found = Netlist.of(op)
        for name, value in attrs.asdict(netlist, recurse=False).items():
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
