"""Choice between hand-written operations and torch's own, by device."""

import torch


def is_faster(device: torch.device) -> bool:
    """Return whether hand-written operations are faster than torch's on this device: on a CPU in full precision.

    They are gathers in place of products with the one-hot latent (one_hot.py) and a norm with its own gradient
    (layers.py). On a GPU, and under bfloat16 autocast, dense products and torch's fused kernels are faster.
    """
    return device.type == "cpu" and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_exporting()
