"""Heads: multilayer perceptrons and the losses behind their last product, with gradients."""
