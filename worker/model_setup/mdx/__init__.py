"""Builds the model folder of an MDX-Net from an ONNX file from elsewhere."""
