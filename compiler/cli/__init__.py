"""The command line: `snc VERB ...`, one file a verb.

Verbs are loaded when they are called, and import what costs time when they run, so that help, completion and the
version come at once.
"""

from .app import main

__all__ = ["main"]
