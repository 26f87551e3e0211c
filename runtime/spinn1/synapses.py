"""Decodes master population tables and synaptic words into flat arrays, as the cores of tile 0 would read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import fields, frozen

from ...ir.dialects.spinn1_tables import ADDRESS_BYTES, MASTER_ENTRY, NO_ADDRESS, ROW_HEADER, WORD
from ..mapped_pages import release
from .checks import Integers, field
from .errors import netlist_error
from .netlist import Netlist
from .routing import Paths

MAX_SYNAPSES = 1 << 27
MAX_ROWS = 1 << 27
"""Rows that packets fetch; and synapses: of one tile, before any array is made for them."""
BLOCK_ROWS = 1 << 18
"""Rows that are decoded at once: what is computed of them fits the caches."""
HEADER_WORDS = 2
ENTRY_WORDS = MASTER_ENTRY.itemsize // WORD.itemsize


@frozen(eq=False)
class Rows:
    """The synaptic rows that packets fetch; one row for each (receiving vertex, source neuron, address).

    int32[rows]: `vertex` that receives, `neuron` of the tile that spikes, `first` of the row's synapses in the arrays
    of `Synapses`. int64[rows], as they are added up: `synapses` of the row, `words` that a DMA fetches, header and
    padding included. Ordered by vertex, then by neuron, then by address.
    """

    vertex: npt.NDArray[np.int32]
    neuron: npt.NDArray[np.int32]
    synapses: Integers
    first: npt.NDArray[np.int32]
    words: Integers


@frozen(eq=False)
class Synapses:
    """All synapses of tile 0, row after row: `target` (neuron on the core), `receptor`, `weight` (raw), `delay`.

    `rows` says where they come from. `entries` is int64[vertices]: entries of the master population table.
    """

    rows: Rows
    entries: Integers
    target: npt.NDArray[np.uint16]
    receptor: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.uint16]
    delay: npt.NDArray[np.uint16]

    def vertex(self) -> npt.NDArray[np.int32]:
        """The receiving vertex of each synapse: int32[synapses]."""
        return np.repeat(self.rows.vertex, self.rows.synapses)

    def neuron(self) -> npt.NDArray[np.int32]:
        """The source neuron of each synapse: int32[synapses]."""
        return np.repeat(self.rows.neuron, self.rows.synapses)


@frozen(eq=False)
class _Master:
    """The master population tables of all vertices: an entry's vertex and fields, an address's row words and start."""

    entries: Integers
    first_entry: Integers
    entry: npt.NDArray[np.void]
    first_address: Integers
    row_words: Integers
    start: Integers


@frozen(eq=False)
class _Fetches:
    """The pairs of vertices between which rows are fetched, ordered by receiver, then by sender.

    int64[pairs]: `sender` and `receiver`, the `entry` that knows the packets, how many `addresses` it has, which are
    `address` from `first` on, and the `rows` that all packets of the pair fetch.
    """

    sender: Integers
    receiver: Integers
    entry: Integers
    addresses: Integers
    first: Integers
    rows: Integers
    address: Integers


@frozen(eq=False)
class _Part:
    """The columns of `Rows` and `Synapses` for some rows; none of these has more than 256 synapses."""

    vertex: npt.NDArray[np.int32]
    neuron: npt.NDArray[np.int32]
    synapses: npt.NDArray[np.uint16]
    words: npt.NDArray[np.uint16]
    target: npt.NDArray[np.uint16]
    receptor: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.uint16]
    delay: npt.NDArray[np.uint16]


def decode(netlist: Netlist, paths: Paths) -> Synapses:
    """The synapses that the packets of tile 0 reach. Raises NetlistError for words that break the contract."""
    master = _master(netlist)
    own = paths.sender < len(netlist.vertices)
    sender, receiver = paths.sender[own], paths.receiver[own]
    source = netlist.is_source()[receiver]
    if source.any():
        node = f"vertices[{receiver[np.argmax(source)]}]"
        raise netlist_error("a source receives packets", node=node, found="a route to it", expected="none")
    fetches = _fetches(netlist, master, *_look_up(netlist, master, sender, receiver))
    parts: list[_Part] = []
    total = 0
    for pairs in _blocks(netlist, fetches):
        parts.append(_read(netlist, master, fetches, pairs, MAX_SYNAPSES - total))
        total += len(parts[-1].weight)
    return _joined(parts, master.entries)


def _joined(parts: list[_Part], entries: Integers) -> Synapses:
    """The columns of all parts, one after the other: whatever is joined is let go."""
    columns = {each.name: [getattr(part, each.name) for part in parts] for each in fields(_Part)}
    parts.clear()

    def whole(name: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.concatenate([np.zeros(0, dtype), *columns.pop(name)])

    synapses = whole("synapses", np.int64)
    rows = Rows(
        vertex=whole("vertex", np.int32),
        neuron=whole("neuron", np.int32),
        synapses=synapses,
        first=(np.cumsum(synapses) - synapses).astype(np.int32),
        words=whole("words", np.int64),
    )
    return Synapses(
        rows=rows,
        entries=entries,
        target=whole("target", np.uint16),
        receptor=whole("receptor", np.uint8),
        weight=whole("weight", np.uint16),
        delay=whole("delay", np.uint16),
    )


def _master(netlist: Netlist) -> _Master:
    vertices, words = netlist.vertices, netlist.master
    span, first = field(vertices, "master_words"), field(vertices, "first_master")
    full = np.flatnonzero(span)
    short = span[full] < HEADER_WORDS
    entries, addresses = np.zeros(len(vertices), np.int64), np.zeros(len(vertices), np.int64)
    if not short.any():
        entries[full], addresses[full] = words[first[full]], words[first[full] + 1]
    need = np.where(span > 0, HEADER_WORDS + entries * ENTRY_WORDS + addresses, 0)
    wrong = np.flatnonzero((need != span) | np.isin(np.arange(len(vertices)), full[short]))
    if len(wrong):
        node = f"vertices[{wrong[0]}].master_words"
        raise netlist_error(
            "the master population table has another length",
            node=node,
            found=span[wrong[0]],
            expected=f"{need[wrong[0]]} words",
        )
    entry_start, entry_place = _spread(entries, first + HEADER_WORDS)
    place = entry_start[:, None] + entry_place[:, None] * ENTRY_WORDS + np.arange(ENTRY_WORDS)
    entry = np.ascontiguousarray(words[place]).view(MASTER_ENTRY).reshape(-1)
    owner = np.repeat(np.arange(len(vertices)), entries)
    at, offset = _spread(addresses, first + HEADER_WORDS + entries * ENTRY_WORDS)
    listed = words[at + offset].astype(np.int64)
    _check_entries(netlist, entry, owner, addresses)
    return _Master(
        entries=entries,
        first_entry=np.cumsum(entries) - entries,
        entry=entry,
        first_address=np.cumsum(addresses) - addresses,
        row_words=(listed & 0xFF) + 1,
        start=np.where(listed >> 8 == NO_ADDRESS, -1, (listed >> 8) * (ADDRESS_BYTES // WORD.itemsize)),
    )


def _spread(count: Integers, value: Integers) -> tuple[Integers, Integers]:
    """`value` repeated by `count`, and 0, 1, 2 ... within each repetition."""
    number = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(value, count), number


def _check_entries(netlist: Netlist, entry: npt.NDArray[np.void], owner: Integers, addresses: Integers) -> None:
    """Entries are in order, name addresses that exist and agree on the bits of colours."""

    def refuse(ok: npt.NDArray[np.bool_], what: str, found: Integers, expected: str) -> None:
        if not ok.all():
            row = int(np.argmin(ok))
            node = f"vertices[{owner[row]}].master"
            raise netlist_error(f"{what} is not valid", node=node, found=found[row], expected=expected)

    key, mask, packed = field(entry, "key"), field(entry, "mask"), field(entry, "addresses")
    refuse(key & mask == key, "a key", key, "no bit outside the mask")
    ascending = (np.diff(key, prepend=-1) > 0) | (np.diff(owner, prepend=-1) > 0)
    refuse(ascending, "a key", key, "ascending order")
    end = (packed & 0x1FFF) + (packed >> 16)
    refuse(end <= addresses[owner], "the number of addresses", end, "addresses of the table")
    colours = packed >> 13 & 7
    refuse(colours == netlist.colour_bits, "the number of colour bits", colours, f"{netlist.colour_bits}")
    shift = field(entry, "core_shift")
    refuse(shift < 32, "the core shift", shift, "below 32")
    refuse(entry["neurons"] >= 1, "the number of neurons", field(entry, "neurons"), "at least 1")


def _look_up(
    netlist: Netlist, master: _Master, sender: Integers, receiver: Integers
) -> tuple[Integers, Integers, Integers]:
    """The pairs of vertices whose packets are known to the receiver, and the entry that knows them."""
    first, number = _spread(master.entries[receiver], master.first_entry[receiver])
    entry = first + number
    pair = np.repeat(np.arange(len(sender)), master.entries[receiver])
    key, mask = field(netlist.vertices, "key")[sender[pair]], field(netlist.vertices, "mask")[sender[pair]]
    entry_key, entry_mask = field(master.entry, "key")[entry], field(master.entry, "mask")[entry]
    common = entry_mask & mask
    hit = (key & common) == (entry_key & common)
    pair, entry = pair[hit], entry[hit]
    whole = entry_mask[hit] & ~mask[hit] == 0
    once = np.diff(pair, prepend=-1) > 0
    for ok, expected in ((whole, "masks that do not tell the neurons of one vertex apart"), (once, "one that matches")):
        if not ok.all():
            row = int(np.argmin(ok))
            node = f"vertices[{receiver[pair[row]]}].master"
            found = f"key {entry_key[hit][row]:#010x} for packets of vertices[{sender[pair[row]]}]"
            raise netlist_error("an entry is not valid", node=node, found=found, expected=expected)
    return sender[pair], receiver[pair], entry


def _fetches(netlist: Netlist, master: _Master, sender: Integers, receiver: Integers, entry: Integers) -> _Fetches:
    """What the packets of pairs of vertices fetch."""
    order = np.lexsort((sender, receiver))
    sender, receiver, entry = sender[order], receiver[order], entry[order]
    packed = field(master.entry, "addresses")[entry]
    first, number = _spread(packed >> 16, master.first_address[receiver] + (packed & 0x1FFF))
    address = first + number
    known = master.start[address] >= 0
    addresses = np.bincount(np.repeat(np.arange(len(entry)), packed >> 16)[known], minlength=len(entry))
    rows = addresses * field(netlist.vertices, "count")[sender]
    total = int(rows.sum())
    if total > MAX_ROWS:
        raise netlist_error("too many rows", node="master", found=total, expected=f"at most {MAX_ROWS}")
    return _Fetches(sender, receiver, entry, addresses, np.cumsum(addresses) - addresses, rows, address[known])


def _blocks(netlist: Netlist, fetches: _Fetches) -> Iterator[slice]:
    """Pairs that are decoded together: their receivers are of one population."""
    ends = np.cumsum(fetches.rows)
    population = field(netlist.vertices, "population")[fetches.receiver]
    begin = 0
    while begin < len(ends):
        full = np.searchsorted(ends, ends[begin] - fetches.rows[begin] + BLOCK_ROWS, side="right")
        last = np.searchsorted(population, population[begin], side="right")
        stop = max(begin + 1, int(min(full, last)))
        yield slice(begin, stop)
        begin = stop


def _read(netlist: Netlist, master: _Master, fetches: _Fetches, pairs: slice, room: int) -> _Part:
    """The rows of some pairs of vertices, and their words: at most `room` synapses."""
    vertices, words, rows = netlist.vertices, netlist.words, fetches.rows[pairs]
    sender, receiver, entry = fetches.sender[pairs], fetches.receiver[pairs], master.entry[fetches.entry[pairs]]

    def each(of_pairs: Integers) -> Integers:
        return np.repeat(of_pairs, rows)

    first, number = _spread(rows, fetches.first[pairs])
    # A packet of each neuron fetches a row at each address.
    local, which = np.divmod(number, each(fetches.addresses[pairs]))
    address = fetches.address[first + which]
    row = _row_numbers(netlist, entry, field(vertices, "key")[sender], local, rows)
    vertex, neuron = each(receiver), each(netlist.vertex_neurons()[sender]) + local
    pitch = master.row_words[address] + ROW_HEADER
    # A row number has at most 48 bits (16 for the core, 16 for its neurons, 32 within), a pitch 9: no overflow.
    place = master.start[address] + row * pitch
    inside = place + pitch <= each(field(vertices, "words")[receiver])
    if not inside.all():
        bad = int(np.argmin(inside))
        raise netlist_error(
            "a row leaves the synaptic matrices",
            node=f"vertices[{vertex[bad]}].words",
            found=f"row {row[bad]} of neuron {neuron[bad]}",
            expected="rows inside the span",
        )
    place += each(field(vertices, "first_word")[receiver])
    count = words[place + 1].astype(np.int64)
    plain = (words[place] == 0) & (words[place + 2] == 0) & (count <= pitch - ROW_HEADER)
    if not plain.all():
        bad = int(np.argmin(plain))
        raise netlist_error(
            "a row header is not valid",
            node=f"words[{place[bad]}]",
            found=words[place[bad] :][:3],
            expected=f"0, at most {pitch[bad] - ROW_HEADER}, 0",
        )
    if int(count.sum()) > room:
        found = MAX_SYNAPSES - room + int(count.sum())
        raise netlist_error("too many synapses", node="words", found=found, expected=f"at most {MAX_SYNAPSES}")
    at, offset = _spread(count, place + ROW_HEADER)
    at += offset
    word = words[at]
    if len(place):
        release(words[place.min() : (place + pitch).max()])
    target, receptor, delay = _word_fields(netlist, vertex, count, word)
    return _Part(
        vertex=vertex.astype(np.int32),
        neuron=neuron.astype(np.int32),
        synapses=count.astype(np.uint16),
        words=pitch.astype(np.uint16),
        target=target,
        receptor=receptor,
        weight=(word >> 16).astype(np.uint16),
        delay=delay,
    )


def _row_numbers(
    netlist: Netlist, entry: npt.NDArray[np.void], key: Integers, local: Integers, rows: Integers
) -> Integers:
    """The row that each packet asks for: of neuron `local` of the vertex with `key`, by `entry`; `rows` for a pair."""
    core_mask, shift = field(entry, "core_mask"), field(entry, "core_shift")
    below = ~field(entry, "mask") & ~(core_mask << shift)
    packet = np.repeat(key, rows) | local << netlist.colour_bits
    core = packet >> np.repeat(shift, rows) & np.repeat(core_mask, rows)
    within = (packet & np.repeat(below, rows)) >> netlist.colour_bits
    return core * np.repeat(field(entry, "neurons"), rows) + within


def _word_fields(
    netlist: Netlist, vertex: Integers, synapses: Integers, word: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Targets, receptors and delays of the words of rows, whose receiving vertices are of one population."""
    if not len(vertex):
        return np.zeros(0, np.uint16), np.zeros(0, np.uint8), np.zeros(0, np.uint16)
    bits = netlist.populations[netlist.vertices["population"][vertex[0]]]
    index_bits, type_bits, delay_bits = (int(bits[f"{part}_bits"]) for part in ("index", "type", "delay"))
    target = (word & (1 << index_bits) - 1).astype(np.uint16)
    receptor = (word >> index_bits & (1 << type_bits) - 1).astype(np.uint16)
    delay = (word >> index_bits + type_bits & (1 << delay_bits) - 1).astype(np.uint16)
    delay[delay == 0] = 1 << delay_bits
    # A slice has at most as many neurons as a population: the last index is compared, which has 16 bits at most.
    last = np.repeat((field(netlist.vertices, "count") - 1)[vertex], synapses)
    for ok, what, expected in (
        (target <= last, "a target", "a neuron of the slice"),
        (receptor <= 1, "a receptor", "0 or 1"),
    ):
        if not ok.all():
            bad = int(np.argmin(ok))
            row = int(np.searchsorted(np.cumsum(synapses), bad, side="right"))
            node = f"vertices[{vertex[row]}].words"
            raise netlist_error(f"{what} is not valid", node=node, found=f"{word[bad]:#010x}", expected=expected)
    return target, receptor.astype(np.uint8), delay
