"""Passes: one a file, grouped by what they rewrite."""
