"""Executors and the reference interpreter."""
