"""The posterior scan over time as persistent kernels, forward and backward."""
