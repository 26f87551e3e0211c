"""Sweeps: one network built in many ways, and which of them are worth having."""
