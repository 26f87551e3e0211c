"""The snc checkout; the code stands in compiler, ir, passes, backends and runtime."""
