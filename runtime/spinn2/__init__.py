"""SpiNNaker2 programs: checks, execution of their tables byte by byte, and a verifier that shadows every byte."""
