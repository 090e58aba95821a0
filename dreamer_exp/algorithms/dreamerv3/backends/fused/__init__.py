"""The fused rung: persistent Triton kernels for the loops over time, no autograd, and one CUDA graph an update."""
