"""What the timer needs to know of a machine."""

from __future__ import annotations

from ...runtime.spinn1.costs import CoreCosts, Costs, EnergyCosts, FabricCosts
from .machine import Machine


def timer_costs(machine: Machine) -> Costs:
    """The costs of a machine in the timer's words."""
    cycles, router, energy = machine.costs, machine.router, machine.energy
    core = CoreCosts(
        hertz=machine.core.clock_hz,
        packet_cycles=cycles.packet_cycles,
        lookup_cycles=cycles.lookup_cycles,
        lookup_step_cycles=cycles.lookup_step_cycles,
        dma_setup_cycles=cycles.dma_setup_cycles,
        dma_word_cycles=cycles.dma_word_cycles,
        synapse_cycles=cycles.synapse_cycles,
        neuron_cycles=cycles.neuron_cycles,
        tick_cycles=cycles.tick_cycles,
        send_cycles=cycles.send_cycles,
        source_tick_cycles=cycles.source_tick_cycles,
        source_send_cycles=cycles.source_send_cycles,
        fifo_packets=cycles.fifo_packets,
    )
    fabric = FabricCosts(
        router_packets_per_s=router.packets_per_second,
        link_packets_per_s=router.link_packets_per_second,
        hop_ns=router.hop_ns,
        sdram_bytes_per_s=machine.sdram.bytes_per_second,
    )
    watts = EnergyCosts(
        chip_w=energy.chip_idle_watts,
        core_w=energy.core_active_watts,
        board_w=energy.board_watts,
        packet_j=energy.packet_hop_joules,
    )
    return Costs(core, fabric, watts)
