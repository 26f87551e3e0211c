"""Runs in an interpreter that has ZigZag: reads hardware, mapping and layers as JSON, writes the clocks of each layer.

python zigzag_layers.py < description.json > clocks.json
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import tempfile

import yaml  # type: ignore[import-untyped]
from zigzag.api import get_hardware_performance_zigzag  # type: ignore[import-not-found]


def main() -> None:
    """One layer at a time, each on an idle machine."""
    logging.disable(logging.CRITICAL)
    described = json.load(sys.stdin)
    clocks: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        os.chdir(folder)
        for name in ("hardware", "mapping"):
            with open(f"{name}.yaml", "w", encoding="ascii") as file:
                yaml.safe_dump(described[name], file, sort_keys=False)
        for layer in described["layers"]:
            with open("layer.yaml", "w", encoding="ascii") as file:
                yaml.safe_dump([layer], file, sort_keys=False)
            _, latency, _ = get_hardware_performance_zigzag(
                "layer.yaml",
                "hardware.yaml",
                "mapping.yaml",
                opt="latency",
                dump_folder="found",
                pickle_filename="found/all.pickle",
                lpf_limit=5,
                loma_show_progress_bar=False,
            )
            clocks[layer["name"]] = latency
    json.dump(clocks, sys.stdout)


if __name__ == "__main__":
    main()
