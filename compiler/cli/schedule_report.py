"""The numbers of an artefact as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .console import bytes_text, count_text, print_facts, print_table

_CALIBRATION = {
    "data": "on the given samples ({method})",
    "model": "scales of the model itself",
    "noise": "ON RANDOM NOISE: the accuracy means little (give samples: --calibrate)",
}
_ROUTES = {
    "dram_to_sram": "from DRAM",
    "sram_to_dram": "to DRAM",
    "dram_to_dram": "within DRAM",
    "sram_to_sram": "between PEs",
    "within_sram": "within PEs",
    "fill": "filled",
}


def print_summary(title: str, numbers: Mapping[str, Any], file_bytes: int) -> None:
    """The end summary of a build."""
    options = numbers["options"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in numbers["layer_kinds"].items())
    high, have = numbers["sram_high_water_bytes"], numbers["sram_bytes"]
    used, elements = numbers["processing_elements_used"], numbers["processing_elements"]
    again = numbers["macs_scheduled"] / numbers["macs"] - 1 if numbers["macs"] else 0.0
    calibration = _CALIBRATION[numbers["calibration"]].format(method=options.get("calibration_method", ""))
    print_facts(
        f"{title}  {bytes_text(file_bytes)}",
        [
            ("target", f"{numbers['target']}, machine {numbers['machine']}, mapping {numbers['mapping']}"),
            ("precision", _precision(options)),
            ("calibration", calibration),
            *(("input", _port(port)) for port in numbers["inputs"]),
            *(("output", _port(port)) for port in numbers["outputs"]),
            ("layers", f"{len(numbers['layers'])}: {kinds}"),
            ("MACs", f"{count_text(numbers['macs'])}{f', {again:+.1%} at the borders of pieces' if again else ''}"),
            ("parameters", f"{count_text(numbers['parameters'])}, weights {bytes_text(numbers['weight_bytes'])}"),
            ("DRAM", f"{bytes_text(numbers['dram_bytes'])}, constants {bytes_text(numbers['constant_bytes'])} of it"),
            ("SRAM", f"{bytes_text(high)} of {bytes_text(have)} in the fullest PE ({high / have:.0%})"),
            ("PEs", f"{used} of {elements} compute"),
            ("schedule", _schedule(numbers)),
            ("bytes moved", f"{bytes_text(numbers['bytes_moved'])}{_routes(numbers['bytes_moved_by_route'])}"),
        ],
    )


def _precision(options: Mapping[str, Any]) -> str:
    sign = {"int": "signed", "uint": "unsigned"}.get(str(options.get("activations")), "")
    return f"{options.get('bits')} bit, {sign} activations, rescale by {options.get('rescale')}"


def _schedule(numbers: Mapping[str, Any]) -> str:
    words = ("tasks", "transfers", "steps")
    return ", ".join(f"{count_text(numbers[word])} {word}" for word in words)


def _routes(routes: Mapping[str, int]) -> str:
    parts = [f"{bytes_text(routes[name])} {words}" for name, words in _ROUTES.items() if routes[name]]
    return f" ({', '.join(parts)})" if parts else ""


def _port(port: Mapping[str, Any]) -> str:
    return f"{port['name']} {port['dtype']} {port['shape']}"


def print_layers(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of layers."""
    print_table(
        ["#", "layer", "kind", "result", "piece", "pieces", "PEs", "tasks", "MACs"],
        [
            (
                index,
                short_name(row["name"]),
                row["kind"],
                extents(row["shape"]),
                extents(row["piece"]),
                row["pieces"],
                row["processing_elements"],
                row["tasks"],
                count_text(row["macs_scheduled"]),
            )
            for index, row in enumerate(rows)
        ],
        right=(0, 5, 6, 7, 8),
    )


def short_name(name: str) -> str:
    """A layer by its first ONNX node and the number of others."""
    first, *others = name.split(" + ")
    return f"{first} +{len(others)}" if others else first


def extents(sizes: Sequence[int] | None) -> str:
    """Sizes as 16x28x28."""
    return "x".join(map(str, sizes)) if sizes else "-"
