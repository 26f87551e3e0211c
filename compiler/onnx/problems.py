"""What an importer function says about a node that it cannot take.

Codes: SNC0101 to SNC0109 are about operators, SNC0110 to SNC0129 about the graph, SNC0130 to SNC0139 about shapes.
"""

from __future__ import annotations

UNKNOWN_OPERATOR = "SNC0101"
UNKNOWN_OPSET = "SNC0102"
UNSUPPORTED_USE = "SNC0103"
NOT_CONSTANT = "SNC0104"
ELEMENT_TYPE = "SNC0105"
MALFORMED_NODE = "SNC0110"
MALFORMED_GRAPH = "SNC0111"
MALFORMED_TENSOR = "SNC0112"
OUTPUT_TYPE = "SNC0113"
FREE_SHAPE = "SNC0130"
BATCH_OF_ONE = "SNC0131"
WRONG_SHAPE = "SNC0132"
OUTPUT_SHAPE = "SNC0133"

UNSUPPORTED = frozenset({UNKNOWN_OPERATOR, UNKNOWN_OPSET, UNSUPPORTED_USE, NOT_CONSTANT, ELEMENT_TYPE})
"""Codes of what is valid ONNX, but not taken."""


class NodeProblem(Exception):
    """Why one node cannot be imported; becomes a diagnostic that names the node."""

    def __init__(self, code: str, message: str, *, found: str = "", expected: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.found, self.expected, self.remedy = found, expected, remedy


def unsupported(message: str, *, found: str = "", expected: str = "", remedy: str = "") -> NodeProblem:
    """The node is valid, but used in a way that snc does not take."""
    return NodeProblem(UNSUPPORTED_USE, message, found=found, expected=expected, remedy=remedy)


def malformed(message: str, *, found: str = "", expected: str = "") -> NodeProblem:
    """The node breaks a rule of ONNX."""
    return NodeProblem(MALFORMED_NODE, message, found=found, expected=expected)
