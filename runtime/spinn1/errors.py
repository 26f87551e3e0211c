"""The error of a netlist whose tables cannot be trusted or run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...ir.diagnostics import Diagnostic, UnsafeInput


class NetlistError(UnsafeInput):
    """A table of a netlist breaks the contract of `ir/dialects/spinn1_tables.py`, or an input does not fit it."""


def netlist_error(message: str, *, node: str, found: object, expected: object) -> NetlistError:
    """A NetlistError about `node` (a table row such as "vertices[3].key")."""
    return NetlistError(Diagnostic("SNC0561", message, found=str(found), expected=str(expected), node=node))


def require(ok: npt.NDArray[np.bool_], table: str, column: str, found: npt.NDArray[np.generic], expected: str) -> None:
    """Raise NetlistError for the first row of `table` where `ok` is false."""
    if not np.all(ok):
        row = int(np.argmin(ok))
        raise netlist_error(
            f"{column} is not valid", node=f"{table}[{row}].{column}", found=found[row], expected=expected
        )
