"""Random SpiNNaker1 netlists with valid words, written word by word and independently of any backend."""

from __future__ import annotations

import numpy as np
from attrs import frozen

from snc.ir.dialects.spinn1_tables import (
    ALWAYS_ON,
    CHIP,
    MASTER_ENTRY,
    NO_ADDRESS,
    ONE,
    OUTPUT,
    PLACEMENT,
    POPULATION,
    ROUTE,
    SOURCE,
    VERTEX,
    PopulationKind,
)
from snc.runtime.spinn1.netlist import Netlist

COLOUR_BITS = 4
POPULATION_BIT = 18
KEY_BITS = 21
"""Bits of a tile's keys: populations from bit 18 on, vertices and neurons below."""
EAST, NORTH, WEST, SOUTH = 0, 2, 3, 5


@frozen(eq=False)
class Drawn:
    """A netlist, what it was written from (one row a synapse: pre, post, receptor, weight, delay), and its group
    and base step per neuron."""

    netlist: Netlist
    synapses: np.ndarray
    due: np.ndarray


@frozen
class Shape:
    """What kind of netlist is drawn. `wild`: delays at random and cycles, so that nothing is due at any step. `chain`:
    no synapse skips a population."""

    sizes: tuple[int, ...] = (9, 7, 5)
    groups: int = 1
    tiles: int = 3
    interval: int = 2
    per_core: int = 4
    density: float = 0.7
    weight: int = 400
    shift: int = 3
    wild: bool = False
    chain: bool = False
    width: int = 4
    height: int = 3


def random_shape(rng: np.random.Generator) -> Shape:
    """Any small shape."""
    groups = int(rng.choice([1, 1, 2, 3, 5]))
    return Shape(
        sizes=tuple(int(size) for size in rng.integers(1, 14, rng.integers(2, 5))),
        groups=groups,
        tiles=int(rng.integers(1, 5)),
        interval=int(rng.integers(1, 2 * groups + 3)),
        per_core=int(rng.integers(1, 9)),
        density=float(rng.choice([0.0, 0.3, 1.0])),
        weight=int(rng.choice([3, 400, 65535])),
        shift=int(rng.integers(0, 16)),
        wild=bool(rng.random() < 0.3),
    )


def draw(rng: np.random.Generator, shape: Shape) -> Drawn:
    """A netlist of this shape."""
    sizes = shape.sizes
    count = len(sizes)
    per_core = [max(shape.per_core, -(-size // 4)) for size in sizes]
    index_bits = [max(1, int(np.ceil(np.log2(cores)))) for cores in per_core]
    first = np.cumsum((0, *sizes))
    group = np.concatenate([np.sort(rng.integers(0, shape.groups, size)) for size in sizes])
    depth = np.repeat(np.arange(count), sizes)
    due = depth * shape.groups + group
    synapses = _synapses(rng, shape, first, due)
    slots = int(synapses[:, 4].max(initial=1))
    # One bit too few for the longest delay where it is a power of two: its code is 0.
    delay_bits = max(1, int(np.ceil(np.log2(slots))))

    populations = np.zeros(count, POPULATION)
    slices = [-(-size // cores) for size, cores in zip(sizes, per_core, strict=True)]
    populations["kind"] = [PopulationKind.SOURCE] + [PopulationKind.NEURON] * (count - 1)
    populations["neurons"], populations["neurons_per_core"] = sizes, per_core
    populations["first_neuron"], populations["vertices"] = first[:-1], slices
    populations["first_vertex"] = np.cumsum(slices) - slices
    populations["index_bits"][1:] = index_bits[1:]
    populations["type_bits"][1:] = 1
    populations["delay_bits"][1:] = delay_bits
    populations["shift_exc"][1:] = rng.integers(0, shape.shift + 1, count - 1)
    populations["shift_inh"][1:] = rng.integers(0, shape.shift + 1, count - 1)

    vertices = np.zeros(sum(slices), VERTEX)
    row = 0
    for number in range(count):
        for k in range(slices[number]):
            low = k * per_core[number]
            vertices[row]["population"], vertices[row]["low"] = number, low
            vertices[row]["count"] = min(per_core[number], sizes[number] - low)
            vertices[row]["key"] = number << POPULATION_BIT | k << (index_bits[number] + COLOUR_BITS)
            vertices[row]["mask"] = 0xFFFF_FFFF << (index_bits[number] + COLOUR_BITS) & 0xFFFF_FFFF
            row += 1

    master: list[int] = []
    words: list[int] = []
    parameters: list[int] = []
    for post in range(len(vertices)):
        vertex = vertices[post]
        if vertex["population"] == 0:
            continue
        table, matrices = _matrices(rng, populations, vertex, synapses, sizes)
        values = _parameters(rng, int(vertex["count"]), shape)
        for name, length, target, span in (
            ("first_master", "master_words", master, table),
            ("first_word", "words", words, matrices),
            ("first_parameter", "parameter_words", parameters, values),
        ):
            vertex[name], vertex[length] = len(target), len(span)
            target += span

    sources = np.zeros(sizes[0], SOURCE)
    sources["neuron"] = np.arange(sizes[0])
    sources["element"] = np.where(rng.random(sizes[0]) < 0.1, ALWAYS_ON, rng.permutation(sizes[0]))
    sources["due"] = due[: sizes[0]]
    outputs = np.zeros(sizes[-1], OUTPUT)
    outputs["index"] = np.arange(sizes[-1])
    outputs["neuron"] = rng.permutation(np.arange(first[-2], first[-1]))
    outputs["due"] = due[outputs["neuron"]]
    latency = int(outputs["due"].max()) + 1 + int(rng.integers(0, 3))

    chips, placements = _place(rng, shape, len(vertices))
    reached = _reached(populations, vertices, synapses)
    for sender, receivers in reached.items():
        if not receivers and rng.random() < 0.5:
            vertices[sender]["key"] = vertices[sender]["mask"] = 0
    netlist = Netlist(
        machine="test",
        width=shape.width,
        height=shape.height,
        tiles=shape.tiles,
        interval=shape.interval,
        latency=latency,
        timestep_us=1000,
        tick_us=5000,
        colour_bits=COLOUR_BITS,
        key_stride=1 << KEY_BITS,
        labels=tuple(f"population{n}" for n in range(count)),
        populations=populations,
        vertices=vertices,
        sources=sources,
        outputs=outputs,
        placements=placements,
        routes=_routes(rng, shape, vertices, placements, reached),
        chips=chips,
        master=np.array(master, np.uint32),
        words=np.array(words, np.uint32),
        parameters=np.array(parameters, np.int64).astype(np.uint32),
    )
    return Drawn(netlist, synapses, due)


def _synapses(rng: np.random.Generator, shape: Shape, first: np.ndarray, due: np.ndarray) -> np.ndarray:
    """Rows (pre, post, receptor, weight, delay), sorted by pre and post."""
    total, start = len(due), int(first[1])
    pre, post = np.divmod(np.arange(total * total), total)
    delay = due[post] - due[pre]
    if shape.wild:
        delay = rng.integers(1, 9, len(pre))
    population = np.searchsorted(first, np.arange(total), side="right") - 1
    ahead = population[post] - population[pre]
    forward = shape.wild | ((ahead == 1) if shape.chain else (ahead > 0))
    keep = (post >= start) & forward & (rng.random(len(pre)) < shape.density)
    weight = rng.integers(0, shape.weight + 1, len(pre))
    receptor = rng.integers(0, 2, len(pre))
    return np.stack([pre, post, receptor, weight, delay], axis=1)[keep]


def _matrices(
    rng: np.random.Generator, populations: np.ndarray, vertex: np.void, synapses: np.ndarray, sizes: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    """Master population table and synaptic matrices of one vertex."""
    own = populations[vertex["population"]]
    start = int(own["first_neuron"]) + int(vertex["low"])
    mine = synapses[(synapses[:, 1] >= start) & (synapses[:, 1] < start + vertex["count"])]
    entries, addresses, words = [], [], []
    for number, source in enumerate(populations):
        of_source = mine[(mine[:, 0] >= source["first_neuron"]) & (mine[:, 0] < source["first_neuron"] + sizes[number])]
        if not len(of_source):
            continue
        at = len(addresses)
        for receptor in (0, 1):
            chosen = of_source[of_source[:, 2] == receptor]
            rows = [chosen[chosen[:, 0] == source["first_neuron"] + n] for n in range(sizes[number])]
            width = max(len(row) for row in rows)
            if not width:
                if rng.random() < 0.5:
                    addresses.append(NO_ADDRESS << 8)
                continue
            words += [0xDEAD_BEEF] * (-len(words) % 4)
            addresses.append(len(words) // 4 << 8 | width - 1)
            for row in rows:
                bits = int(own["index_bits"])
                code = row[:, 4] % (1 << int(own["delay_bits"]))
                packed = row[:, 3] << 16 | code << (bits + 1) | receptor << bits | (row[:, 1] - start)
                words += [0, len(row), 0, *packed.tolist(), *([0xFFFF_FFFF] * (width - len(row)))]
        entry = np.zeros(1, MASTER_ENTRY)
        bits = max(1, int(np.ceil(np.log2(int(source["neurons_per_core"])))))
        entry["key"], entry["mask"] = number << POPULATION_BIT, 0xFFFF_FFFF << POPULATION_BIT & 0xFFFF_FFFF
        entry["addresses"] = at | COLOUR_BITS << 13 | (len(addresses) - at) << 16
        entry["core_mask"], entry["core_shift"] = 0x7, bits + COLOUR_BITS
        entry["neurons"] = source["neurons_per_core"]
        entries.append(entry)
    table = [len(entries), len(addresses)]
    for entry in entries:
        table += entry.view(np.uint32).tolist()
    return table + addresses, words


def _parameters(rng: np.random.Generator, count: int, shape: Shape) -> list[int]:
    """The parameter region of a slice."""
    scale = 1 + shape.weight << shape.shift
    words = [1]
    for _ in range(count):
        offset = int(rng.integers(-scale, scale)) if rng.random() < 0.3 else 0
        words += [0, 0, 3, 3, offset, 0, 0, 0, ONE]
    words += [ONE] * count
    words += [int(threshold) for threshold in rng.integers(-scale // 8, 2 * scale, count)]
    return words + [0] * (2 * count)


def _place(rng: np.random.Generator, shape: Shape, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Chips of a torus, and a core of its own for each vertex of each tile."""
    chips = np.zeros(shape.width * shape.height, CHIP)
    chips["x"], chips["y"] = np.divmod(np.arange(len(chips)), shape.height)
    chips["links"], chips["cores"] = 0x3F, 0x3FFFE
    cores = np.array([(x, y, p) for x, y in zip(chips["x"], chips["y"], strict=True) for p in range(1, 18)])
    chosen = cores[rng.permutation(len(cores))[: shape.tiles * vertices]]
    placements = np.zeros(shape.tiles * vertices, PLACEMENT)
    placements["tile"], placements["vertex"] = np.divmod(np.arange(len(placements)), vertices)
    placements["x"], placements["y"], placements["p"] = chosen.T
    return chips, placements


def _reached(populations: np.ndarray, vertices: np.ndarray, synapses: np.ndarray) -> dict[int, list[int]]:
    """Receivers of each vertex."""
    owner = np.repeat(np.arange(len(vertices)), vertices["count"])
    pairs = np.unique(owner[synapses[:, :2]], axis=0) if len(synapses) else np.zeros((0, 2), int)
    return {sender: pairs[pairs[:, 0] == sender, 1].tolist() for sender in range(len(vertices))}


def _routes(
    rng: np.random.Generator,
    shape: Shape,
    vertices: np.ndarray,
    placements: np.ndarray,
    reached: dict[int, list[int]],
) -> np.ndarray:
    """Trees that go along x first, then along y, never around the torus; entries that only go straight on may miss."""
    rows = []
    for tile in range(shape.tiles):
        own = placements[tile * len(vertices) : (tile + 1) * len(vertices)]
        for sender, receivers in reached.items():
            x0, y0 = int(own[sender]["x"]), int(own[sender]["y"])
            route: dict[tuple[int, int], int] = {(x0, y0): 0}
            came: dict[tuple[int, int], int] = {}
            for receiver in receivers:
                x, y = x0, y0
                to_x, to_y = int(own[receiver]["x"]), int(own[receiver]["y"])
                while (x, y) != (to_x, to_y):
                    across = x != to_x
                    link = (EAST if to_x > x else WEST) if across else (NORTH if to_y > y else SOUTH)
                    route[x, y] = route.get((x, y), 0) | 1 << link
                    x, y = (x + (1 if to_x > x else -1), y) if across else (x, y + (1 if to_y > y else -1))
                    came[x, y] = link
                    route.setdefault((x, y), 0)
                route[x, y] |= 1 << (6 + int(own[receiver]["p"]))
            for (x, y), out in route.items():
                straight = (x, y) in came and out == 1 << came[x, y]
                if vertices[sender]["mask"] and not (straight and rng.random() < 0.5):
                    key = int(vertices[sender]["key"]) + (tile << KEY_BITS)
                    rows.append((x, y, key, int(vertices[sender]["mask"]), out))
    routes = np.array(rows, ROUTE) if rows else np.zeros(0, ROUTE)
    return routes[np.argsort(routes["x"].astype(int) << 8 | routes["y"], kind="stable")]


def random_samples(rng: np.random.Generator, netlist: Netlist, count: int) -> np.ndarray:
    """uint8[count, elements] of 0 and 1."""
    return (rng.random((count, max(netlist.elements, 1))) < rng.choice([0.1, 0.5, 0.9])).astype(np.uint8)
