"""Device of the fused backend's tests: the GPU if there is one, otherwise the CPU in Triton's interpreter."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
