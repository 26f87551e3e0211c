"""Training towards spikes: the soft activations of a network become steps, layer by layer."""
