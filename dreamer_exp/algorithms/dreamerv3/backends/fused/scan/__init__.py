"""The posterior scan over time, forward and backward, as persistent kernels."""
