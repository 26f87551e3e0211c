"""What a user holds of a network for SpiNNaker1: driver, executable, profile."""
