"""Kernels of the imagined rollout and of the lambda returns over it."""
