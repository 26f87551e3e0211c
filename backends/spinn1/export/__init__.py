"""Hand-over of SpiNNaker1 netlists to other tools."""
