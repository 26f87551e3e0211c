"""SpiNNaker1 netlists: checks, routing, execution from the words of the cores, and a timer."""
