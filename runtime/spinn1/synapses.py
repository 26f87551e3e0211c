"""Decodes master population tables and synaptic words into flat arrays, as the cores of tile 0 would read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn1_tables import ADDRESS_BYTES, MASTER_ENTRY, NO_ADDRESS, ROW_HEADER, WORD
from .checks import Integers, field
from .errors import netlist_error
from .netlist import Netlist
from .routing import Paths

MAX_SYNAPSES = 1 << 27
MAX_ROWS = 1 << 27
"""Rows that packets fetch; and synapses: of one tile, before any array is made for them."""
HEADER_WORDS = 2
ENTRY_WORDS = MASTER_ENTRY.itemsize // WORD.itemsize


@frozen(eq=False)
class Rows:
    """The synaptic rows that packets fetch; one row for each (receiving vertex, source neuron, address).

    int64[rows]: `vertex` that receives, `neuron` of the tile that spikes, `synapses` of the row, `first` of them in the
    arrays of `Synapses`, `words` that a DMA fetches, header and padding included. Ordered by vertex, then by neuron,
    then by address.
    """

    vertex: Integers
    neuron: Integers
    synapses: Integers
    first: Integers
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

    def vertex(self) -> Integers:
        """The receiving vertex of each synapse: int64[synapses]."""
        return np.repeat(self.rows.vertex, self.rows.synapses)

    def neuron(self) -> Integers:
        """The source neuron of each synapse: int64[synapses]."""
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


def decode(netlist: Netlist, paths: Paths) -> Synapses:
    """The synapses that the packets of tile 0 reach. Raises NetlistError for words that break the contract."""
    master = _master(netlist)
    own = paths.sender < len(netlist.vertices)
    sender, receiver = paths.sender[own], paths.receiver[own]
    source = netlist.is_source()[receiver]
    if source.any():
        node = f"vertices[{receiver[np.argmax(source)]}]"
        raise netlist_error("a source receives packets", node=node, found="a route to it", expected="none")
    sender, receiver, entry = _look_up(netlist, master, sender, receiver)
    vertex, neuron, address, row = _fetches(netlist, master, sender, receiver, entry)
    order = np.lexsort((address, neuron, vertex))
    return _read(netlist, master, vertex[order], neuron[order], address[order], row[order])


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


def _fetches(
    netlist: Netlist, master: _Master, sender: Integers, receiver: Integers, entry: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """Vertex, source neuron, address and row of each row that a packet fetches."""
    vertices = netlist.vertices
    packed = field(master.entry, "addresses")[entry]
    addresses = packed >> 16
    pair = np.repeat(np.arange(len(entry)), addresses)
    first, number = _spread(addresses, master.first_address[receiver] + (packed & 0x1FFF))
    address = first + number
    known = master.start[address] >= 0
    pair, address = pair[known], address[known]
    count = field(vertices, "count")[sender[pair]]
    if int(count.sum()) > MAX_ROWS:
        raise netlist_error("too many rows", node="master", found=int(count.sum()), expected=f"at most {MAX_ROWS}")
    base, local = _spread(count, netlist.vertex_neurons()[sender[pair]])
    pair, address = np.repeat(pair, count), np.repeat(address, count)
    packet = field(vertices, "key")[sender[pair]] | local << netlist.colour_bits
    found = entry[pair]
    core_mask, shift = field(master.entry, "core_mask")[found], field(master.entry, "core_shift")[found]
    core = packet >> shift & core_mask
    within = (packet & ~field(master.entry, "mask")[found] & ~(core_mask << shift)) >> netlist.colour_bits
    row = core * field(master.entry, "neurons")[found] + within
    return receiver[pair], base + local, address, row


def _read(
    netlist: Netlist, master: _Master, vertex: Integers, neuron: Integers, address: Integers, row: Integers
) -> Synapses:
    """Rows and their words."""
    vertices, words = netlist.vertices, netlist.words
    pitch = master.row_words[address] + ROW_HEADER
    # A row number has at most 48 bits (16 for the core, 16 for its neurons, 32 within), a pitch 9: no overflow.
    place = master.start[address] + row * pitch
    inside = place + pitch <= field(vertices, "words")[vertex]
    if not inside.all():
        bad = int(np.argmin(inside))
        raise netlist_error(
            "a row leaves the synaptic matrices",
            node=f"vertices[{vertex[bad]}].words",
            found=f"row {row[bad]} of neuron {neuron[bad]}",
            expected="rows inside the span",
        )
    place += field(vertices, "first_word")[vertex]
    count = words[place + 1].astype(np.int64)
    plain = (words[place] == 0) & (words[place + 2] == 0) & (count <= master.row_words[address])
    if not plain.all():
        bad = int(np.argmin(plain))
        raise netlist_error(
            "a row header is not valid",
            node=f"words[{place[bad]}]",
            found=words[place[bad] :][:3],
            expected=f"0, at most {master.row_words[address[bad]]}, 0",
        )
    total = int(count.sum())
    if total > MAX_SYNAPSES:
        raise netlist_error("too many synapses", node="words", found=total, expected=f"at most {MAX_SYNAPSES}")
    first = np.cumsum(count) - count
    at, number = _spread(count, place + ROW_HEADER)
    word = words[at + number]
    del at, number
    rows = Rows(vertex=vertex, neuron=neuron, synapses=count, first=first, words=pitch)
    return _fields(netlist, rows, master.entries, word)


def _fields(netlist: Netlist, rows: Rows, entries: Integers, word: npt.NDArray[np.uint32]) -> Synapses:
    """The fields of synaptic words."""
    population = netlist.vertices["population"][rows.vertex]
    bits = netlist.populations[population]

    def each(values: Integers) -> npt.NDArray[np.uint32]:
        return np.repeat(values.astype(np.uint32), rows.synapses)

    index_bits, type_bits, delay_bits = (field(bits, f"{part}_bits") for part in ("index", "type", "delay"))
    target = word & each((1 << index_bits) - 1)
    receptor = word >> each(index_bits) & each((1 << type_bits) - 1)
    delay = word >> each(index_bits + type_bits) & each((1 << delay_bits) - 1)
    delay = np.where(delay == 0, each(1 << delay_bits), delay)
    for ok, what, expected in (
        (target < each(netlist.vertices["count"][rows.vertex]), "a target", "a neuron of the slice"),
        (receptor <= 1, "a receptor", "0 or 1"),
    ):
        if not ok.all():
            bad = int(np.argmin(ok))
            row = int(np.searchsorted(rows.first, bad, side="right")) - 1
            node = f"vertices[{rows.vertex[row]}].words"
            raise netlist_error(f"{what} is not valid", node=node, found=f"{word[bad]:#010x}", expected=expected)
    return Synapses(
        rows=rows,
        entries=entries,
        target=target.astype(np.uint16),
        receptor=receptor.astype(np.uint8),
        weight=(word >> 16).astype(np.uint16),
        delay=delay.astype(np.uint16),
    )
