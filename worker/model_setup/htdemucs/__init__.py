"""Reads the publisher's files of HT-Demucs without torch, and builds their networks as ONNX graphs."""

from __future__ import annotations

from worker.model_setup.htdemucs.building import build_htdemucs

__all__ = ["build_htdemucs"]
