"""snc: trained ONNX networks compiled for SpiNNaker1 and SpiNNaker2, and run bit-exactly without a board."""

__version__ = "0.1.0"
