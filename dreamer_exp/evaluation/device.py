"""The device that the policy of an evaluation acts on."""

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.schema import AUTO
from dreamer_exp.hardware import Machine, probe

CPU, CUDA = "cpu", "cuda"
DEVICES = (AUTO, CPU, CUDA)
GPU_WEIGHTS = 50_000_000
"""Fewest weights for which `auto` takes the GPU. A step of 32 rows takes one CPU core 11 ms at 12M and 5 ms at XS, in
proportion to the weights of larger sizes; the environments of a worker take longer than that at 12M."""
GPU_BYTES_EACH = 2**30  # a worker's CUDA context, its libraries and its tensors


def check_device(word: str) -> str:
    """Return a device, or "auto"; raise UserError for any other word."""
    if word not in DEVICES:
        raise UserError(f"device={word}: it is one of {', '.join(DEVICES)}.{nearest(word, DEVICES)}")
    return word


def choose_device(wanted: str, weights: int, machine: Machine | None = None) -> str:
    """Return CPU or CUDA.

    Args:
        wanted: CPU, CUDA, or "auto", which takes a GPU for a large network.
        weights: of the network.
        machine: on which it acts; None for this one.

    Raises:
        UserError: CUDA is wanted, and there is no GPU.
    """
    if wanted == CPU or (wanted == AUTO and weights < GPU_WEIGHTS):
        return CPU
    missing = why_no_gpu(machine or probe())
    if missing and wanted == CUDA:
        raise UserError(f"device=cuda: {missing}; use device=cpu.")
    return CPU if missing else CUDA


def why_no_gpu(machine: Machine) -> str | None:
    """Return why torch can use no GPU of a machine; None if it can."""
    if not machine.gpus:
        return f"no GPU is visible ({machine.sources['gpus']})"
    import torch

    return None if torch.cuda.is_available() else f"this torch ({torch.__version__}) cannot use a GPU"


def device_name(device: str) -> str:
    """Return the device for a report: `cpu`, or `cuda` with the name of the GPU."""
    if device == CPU:
        return CPU
    import torch

    return f"{device} ({torch.cuda.get_device_name()})"
