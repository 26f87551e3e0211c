"""From float to fixed point: calibrate, quantize, lower-qdq."""
