"""Reads the publisher's files of HT-Demucs without torch, and builds the network as an ONNX graph."""
