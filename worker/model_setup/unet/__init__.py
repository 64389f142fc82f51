"""Builds the model folder of `unet` from the weights in an installed package."""
