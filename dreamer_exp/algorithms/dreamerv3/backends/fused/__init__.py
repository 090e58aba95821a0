"""The fused backend: Triton kernels without autograd, persistent ones for the loops over time. See README.md."""
