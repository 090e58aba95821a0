"""Where the fused rung's tests run: on the GPU if there is one, else on the CPU in Triton's interpreter."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
