"""Passes over the graph stage: float in, float out."""
