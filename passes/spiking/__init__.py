"""From binary activations to populations and projections."""
