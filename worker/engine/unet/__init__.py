"""An engine driven by a manifest: any network that masks a spectrogram, Spleeter's U-Net being the first.

Owns inference and what surrounds it. The files come from a folder that `worker.model_setup` makes; which
folder is the caller's to say.
"""

from worker.engine.unet.engine import MaskEngine, create, describe

__all__ = ["MaskEngine", "create", "describe"]
