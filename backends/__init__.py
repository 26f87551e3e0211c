"""Backends: from the tiled IR to the tables of a machine."""
