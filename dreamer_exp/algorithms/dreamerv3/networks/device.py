"""The one place that chooses between hand-written operations and torch's own, by device."""

import torch


def hand_written_pays(device: torch.device) -> bool:
    """Gathers for the one-hot latent (one_hot.py) and a norm with its own gradient (layers.py): on a CPU in full
    precision. Elsewhere dense products and fused kernels are quicker."""
    return device.type == "cpu" and not torch.is_autocast_enabled("cpu")
