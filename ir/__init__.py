"""The typed graph IR: operations, values, types, attributes, text form, verifier, builder and rewriter."""
