"""Kernels of the heads: perceptrons, their losses behind the last product, and the gradients of both."""
