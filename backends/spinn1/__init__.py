"""SpiNNaker1: machines, placement, keys, routes and the words that its cores are loaded with."""
