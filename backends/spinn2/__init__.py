"""SpiNNaker2: from quantised layers to a schedule of tasks and transfers."""
