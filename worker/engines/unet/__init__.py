"""Engines that run neural networks which mask a spectrogram. The first is Spleeter's U-Net.

A manifest beside the networks describes them; nothing in this package is specific to one network. The files come from
a model folder that `worker.model_setup` makes; the caller says where it is.
"""

from worker.engines.unet.engine import MaskEngine, create, describe

__all__ = ["MaskEngine", "create", "describe"]
