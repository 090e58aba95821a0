"""How an update is computed: eager, as one CUDA graph, or as one CUDA graph of our own kernels (fused)."""
