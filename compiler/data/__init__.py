"""Samples and labels: arrays of files from anybody, in batches."""
