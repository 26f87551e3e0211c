"""The published JSON schemas."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any


def read_schema(name: str) -> dict[str, Any]:
    """The schema `schemas/<name>.schema.json`."""
    text = (resources.files(__package__) / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
