"""Layers and matrix products that every part of the model is built from."""
