"""Select the backend on this device: the update as it will be called, its name, and why it is not the one asked for."""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.backends.cuda_graph import Capturable, CudaGraphUpdate
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.backends.requirements import TILE
from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.config.errors import first_line

MULTIPROCESSORS = 16  # for every 16 sequences; with fewer a scan takes longer, and was never tried
CAPABILITY = (8, 0)  # the first with bfloat16 and TensorFloat-32
OUTPUTS = 32  # of the actor, that imagination has room for


class Backend(NamedTuple):
    """`name` is a value of algo.backend, `why` the reason if it isn't the one asked for, or ""."""

    update: Callable[[Batch], tuple[dict[str, Tensor], State]]
    name: str
    why: str = ""


def select_backend(
    update: EagerUpdate, backend: str, precision: str, shape: tuple[int, int], why_not_fused: str = ""
) -> Backend:
    """Return the update on a backend, for batches of B sequences of T steps; if `fused` can't run, on `cuda_graph`.

    Args:
        update: the eager one.
        backend: eager, cuda_graph or fused.
        precision: of matrix products.
        shape: B and T.
        why_not_fused: what is known to keep the fused kernels from it, or "".
    """
    if backend == "eager":
        return Backend(update, "eager")
    if backend == "cuda_graph":
        return Backend(CudaGraphUpdate(update), "cuda_graph")
    gpu, rows = torch.cuda.get_device_properties(update.device), shape[0]
    why, fused = why_not_fused or why_not_on(gpu, update.agent.action, rows), None
    if not why:
        programs = programs_on(gpu.multi_processor_count, rows, update.agent.size.deter)
        fused, why = try_fused(update, precision, shape, programs)
    return Backend(CudaGraphUpdate(fused or update), "fused" if fused else "cuda_graph", why)


def why_not_on(gpu: Any, action: ActionKind, rows: int) -> str:
    """What keeps the fused kernels from a GPU, by torch's properties of it, or from the actions; "": nothing."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed, which compiles the fused kernels"
    if (gpu.major, gpu.minor) < CAPABILITY:
        return f"the {gpu.name} has compute capability {gpu.major}.{gpu.minor}, the fused kernels need 8.0 or newer"
    needed, found = MULTIPROCESSORS * rows // TILE, gpu.multi_processor_count
    if found < needed:
        return (
            f"the {gpu.name} offers {found} multiprocessors, the fused kernels want {needed} "
            f"for algo.batch_size_B={rows}"
        )
    if action.outputs > OUTPUTS:
        return f"the actor has {action.outputs} outputs, the fused kernels take up to {OUTPUTS}"
    return ""


def programs_on(multiprocessors: int, rows: int, deter: int) -> int:
    """How many programs share 16 rows of a scan: one for 16 recurrent units each, but all resident at once.

    A multiprocessor holds one of them for certain, so that no barrier waits for a program that can't begin. Twice as
    many where they fit, because the backward scan begins with twice the tiles; where not even one
    for each fits, all get equally many, and what runs next to the scan gets the other multiprocessors.
    """
    tiles, resident = deter // TILE, multiprocessors // (rows // TILE)
    turns = -(-tiles // resident)
    return 2 * tiles if 2 * tiles <= resident else -(-tiles // turns)


def try_fused(
    update: EagerUpdate, precision: str, shape: tuple[int, int], programs: int
) -> tuple[Capturable | None, str]:
    """The fused update, once it has run here without a step, and ""; or None and what it failed with."""
    # Triton, its C compiler, its cache's folder and the driver all raise errors of their own, and `cuda_graph` needs
    # none of them: any error becomes the reason that the run prints
    try:
        from dreamer_exp.algorithms.dreamerv3.backends.fused.update import FusedUpdate

        fused = FusedUpdate(update, Precision.of(precision), shape, programs, persistent=True)
        fused.trial_update()
    except Exception as problem:  # noqa: BLE001
        return None, f"the fused kernels don't run here: {_root_cause(problem)}"
    return fused, ""


def _root_cause(problem: BaseException) -> str:
    """Of what it began with: Triton wraps an error in one for every function around it, each with its source."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    text = getattr(problem, "error_message", None) or str(problem)
    return f"{type(problem).__name__}: {first_line(text, 'no message')}"
