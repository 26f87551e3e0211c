"""What the timer needs to know of a machine."""

from __future__ import annotations

import math

import numpy as np

from ...runtime.spinn2.clocks import ArmClocks, Clocks, DramClocks, HostClocks, MacClocks, NocClocks
from .machine import Machine, Qpe

__all__ = ["clocks_of"]


ORDERED = ("kelber2020",)
"""Mappings under which all elements do the same at a time, when the host has told them (Kelber, Wu et al. 2020)."""


def clocks_of(machine: Machine, mapping: str = "optimized") -> Clocks:
    """The clocks of a machine under a mapping, all converted to those of its PEs."""
    hertz = machine.pe.clock_hz
    common = math.gcd(machine.dram.bytes_per_second, hertz)
    dram = DramClocks(
        ports=len(machine.dram.ports),
        bytes=machine.dram.bytes_per_second // common,
        clocks=hertz // common,
        interface_clocks=machine.dram.interface_clocks,
        attach_clocks=machine.dram.attach_noc_clocks * hertz / machine.noc.clock_hz,
    )
    host = HostClocks(
        interface_clocks=machine.host.interface_clocks,
        tasks_per_clock=machine.host.tasks_per_clock,
        setup_clocks=math.ceil(machine.host.setup_seconds * hertz),
        layer_clocks=math.ceil(machine.host.layer_seconds * hertz),
        cleanup_clocks=math.ceil(machine.host.cleanup_seconds * hertz),
        orders_transfers=mapping in ORDERED,
    )
    return Clocks(
        processing_elements=machine.processing_elements,
        hertz=hertz,
        sram_port_bytes_per_clock=machine.pe.sram_port_bytes_per_clock,
        mac=_mac_clocks(machine),
        arm=_arm_clocks(machine),
        noc=_noc_clocks(machine),
        dram=dram,
        host=host,
    )


def _mac_clocks(machine: Machine) -> MacClocks:
    array = machine.mac_array
    return MacClocks(
        columns=array.columns,
        rows=array.rows,
        result_bytes_per_clock=array.result_bytes_per_clock,
        conv_strides=array.conv_strides,
        clocks_per_16_bit_step=array.clocks_per_16_bit_step,
        weight_request_clocks=array.weight_request_clocks,
        input_step_clocks=array.input_step_clocks,
        task_clocks=array.task_clocks,
        conv_1x1_stall=array.conv_1x1_clocks_per_ideal_clock,
        conv_stall=array.conv_clocks_per_ideal_clock,
        matmul_local_stall=array.matmul_local_clocks_per_ideal_clock,
        matmul_remote_stall=array.matmul_remote_clocks_per_ideal_clock,
    )


def _arm_clocks(machine: Machine) -> ArmClocks:
    arm, estimates = machine.arm, machine.arm_estimates
    return ArmClocks(
        pad_word=arm.pad_clocks_per_word,
        quantize=arm.quantize_clocks_per_element,
        relu_i32=arm.relu_i32_clocks_per_element,
        relu_i8=arm.relu_i8_clocks_per_element,
        max_pool_i8_input=arm.max_pool_i8_clocks_per_input,
        max_pool_i32_input=arm.max_pool_i32_clocks_per_input,
        add=arm.add_i32_clocks_per_element,
        multiply=estimates.multiply_clocks_per_element,
        average_pool_input=estimates.average_pool_clocks_per_input,
        table=estimates.table_clocks_per_element,
        maximum=estimates.maximum_clocks_per_element,
        softmax=estimates.softmax_clocks_per_element,
        lrn_term=estimates.lrn_clocks_per_term,
    )


def _noc_clocks(machine: Machine) -> NocClocks:
    """Holes of the mesh have routers too."""
    rows, columns = machine.mesh.qpe_rows, machine.mesh.qpe_columns
    per_qpe, noc, hertz = machine.mesh.pes_per_qpe, machine.noc, machine.pe.clock_hz
    place = np.array([qpe.y * columns + qpe.x for qpe in machine.qpes], np.int64)
    grid = [Qpe(y, x) for y in range(rows) for x in range(columns)]
    attach = [[machine.attach_qpe(port, qpe) for qpe in grid] for port in range(len(machine.dram.ports))]
    packets = noc.router_packets_per_noc_clock * noc.clock_hz
    common = math.gcd(packets, hertz)
    return NocClocks(
        rows=rows,
        columns=columns,
        router_of_pe=np.repeat(place, per_qpe),
        attach=np.array([[qpe.y * columns + qpe.x for qpe in line] for line in attach], np.int64),
        packet_bytes=noc.packet_bytes,
        packets=packets // common,
        clocks=hertz // common,
        per_lane=noc.router_limit == "lane",
        request_packets=noc.request_packets,
        pe_packets_per_clock=noc.pe_packets_per_clock,
        hop_clocks=noc.hop_noc_clocks * hertz / noc.clock_hz,
        multicast=noc.multicast,
    )
