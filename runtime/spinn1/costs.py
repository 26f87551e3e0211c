"""The numbers of a machine that decide how long a step takes and what it costs.

What is known of the cores are ranges: one or two microseconds for a row that a packet fetches, 15 to 20 cycles a
synapse, 200 to 400 a neuron. They are taken at their upper ends, once and for all networks, because then the one
time-scale factor that is on record for a network without delay extensions comes out: 5 for 785-100-100-100 (Vineyard et
al., NICE 2019), whose first layer needs 4.1 ms for the fullest of 10,000 digits. The same numbers give the slides'
convolutional network (20 temporal groups, interleaved) a factor of 3, where the slides chose 14; they put that down to
the delay extensions of their time, which smaller slices spare.
"""

from __future__ import annotations

from attrs import field, frozen
from attrs.validators import ge


@frozen
class CoreCosts:
    """Cycles of one ARM core, of which there are `hertz` a second.

    A packet costs `packet_cycles` (interrupt and FIFO) and a binary search of its key: `lookup_cycles`, and
    `lookup_step_cycles` for each halving of the master population table. A row that is fetched costs
    `dma_setup_cycles`, `dma_word_cycles` for each word (header included) and `synapse_cycles` for each synapse. A step
    costs `tick_cycles`, `neuron_cycles` for each neuron and `send_cycles` for each spike; a source core pays
    `source_tick_cycles` and `source_send_cycles`. `fifo_packets` packets may wait; more are lost.
    """

    hertz: int = field(validator=ge(1))
    packet_cycles: int
    lookup_cycles: int
    lookup_step_cycles: int
    dma_setup_cycles: int
    dma_word_cycles: int
    synapse_cycles: int
    neuron_cycles: int
    tick_cycles: int
    send_cycles: int
    source_tick_cycles: int
    source_send_cycles: int
    fifo_packets: int = field(validator=ge(1))


@frozen
class FabricCosts:
    """What the network and the memory of a chip pass: packets a second, nanoseconds a hop, bytes a second."""

    router_packets_per_s: int
    link_packets_per_s: int
    hop_ns: int
    sdram_bytes_per_s: int


@frozen
class EnergyCosts:
    """Watts of a chip that idles, of a core on top of that, of a board beside its chips; joules of a packet's hop."""

    chip_w: float
    core_w: float
    board_w: float
    packet_j: float


@frozen
class Costs:
    """A machine as the timer sees it."""

    core: CoreCosts
    fabric: FabricCosts
    energy: EnergyCosts
