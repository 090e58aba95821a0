"""How an update is computed: eager, cuda_graph (the same, captured), or fused (hand-written kernels, captured)."""
