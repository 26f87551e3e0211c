"""Accuracy as a command: how good an artefact is, and which stage of the compiler lost what."""
