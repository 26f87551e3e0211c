"""ONNX models: safe loading and import."""
