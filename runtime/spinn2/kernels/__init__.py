"""Machine code for the rows of a program: one file per family of kernels, and the walker that runs them all."""
