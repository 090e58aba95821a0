"""Selection of the backend on this device."""

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

MULTIPROCESSORS = 16  # minimum for every 16 sequences; fewer were never tested
CAPABILITY = (8, 0)  # lowest compute capability with bfloat16 and TensorFloat-32
OUTPUTS = 32  # most outputs of the actor in the kernels of imagination


class BackendUpdate(NamedTuple):
    """An update, the name of its backend (a value of algo.backend), and why it is not the requested one, or ""."""

    update: Callable[[Batch], tuple[dict[str, Tensor], State]]
    name: str
    why: str = ""


def select_backend(
    update: EagerUpdate, backend: str, precision: str, shape: tuple[int, int], why_not_fused: str = ""
) -> BackendUpdate:
    """Return the update on a backend, for batches of B sequences of T steps; on `cuda_graph` if `fused` cannot run.

    Args:
        update: The eager update.
        backend: eager, cuda_graph or fused.
        precision: Precision of matrix products: float32, tf32 or bfloat16.
        shape: B and T.
        why_not_fused: A known reason why the fused kernels cannot run, or "".
    """
    if backend == "eager":
        return BackendUpdate(update, "eager")
    if backend == "cuda_graph":
        return BackendUpdate(CudaGraphUpdate(update), "cuda_graph")
    gpu, rows = torch.cuda.get_device_properties(update.device), shape[0]
    why, fused = why_not_fused or why_not_on(gpu, update.agent.action, rows), None
    if not why:
        programs = programs_on(gpu.multi_processor_count, rows, update.agent.size.deter)
        fused, why = try_fused(update, precision, shape, programs)
    return BackendUpdate(CudaGraphUpdate(fused or update), "fused" if fused else "cuda_graph", why)


def why_not_on(gpu: Any, action: ActionKind, rows: int) -> str:
    """Return why the fused kernels cannot run on a GPU, by torch's properties of it, or with the actions; else ""."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed, which compiles the fused kernels"
    if (gpu.major, gpu.minor) < CAPABILITY:
        return f"the {gpu.name} has compute capability {gpu.major}.{gpu.minor}, the fused kernels need 8.0 or newer"
    needed, found = MULTIPROCESSORS * rows // TILE, gpu.multi_processor_count
    if found < needed:
        return (
            f"the {gpu.name} has {found} multiprocessors, but the fused kernels need {needed} "
            f"for algo.batch_size_B={rows}"
        )
    if action.outputs > OUTPUTS:
        return f"the actor has {action.outputs} outputs, the fused kernels take up to {OUTPUTS}"
    return ""


def programs_on(multiprocessors: int, rows: int, deter: int) -> int:
    """Return how many programs share 16 rows of a scan: one for every 16 recurrent units, if all are resident at once.

    Each program counts as one multiprocessor. So all are resident, and no barrier waits for a program that cannot
    start. If twice as many fit, they are used, because the backward scan starts with twice the tiles. If fewer fit,
    every program gets the same number of tiles, and the other multiprocessors are left to kernels that run next to the
    scan.
    """
    tiles, resident = deter // TILE, multiprocessors // (rows // TILE)
    turns = -(-tiles // resident)
    return 2 * tiles if 2 * tiles <= resident else -(-tiles // turns)


def try_fused(
    update: EagerUpdate, precision: str, shape: tuple[int, int], programs: int
) -> tuple[Capturable | None, str]:
    """Return the fused update after a successful trial and "", or None and the error."""
    # Triton, its C compiler, its cache folder and the driver raise errors of many types. `cuda_graph` needs none of
    # them, so any error becomes the reason that the run reports.
    try:
        from dreamer_exp.algorithms.dreamerv3.backends.fused.update import FusedUpdate

        fused = FusedUpdate(update, Precision.of(precision), shape, programs, persistent=True)
        fused.trial_update()
    except Exception as problem:  # noqa: BLE001
        return None, f"the fused kernels don't run here: {_root_cause(problem)}"
    return fused, ""


def _root_cause(problem: BaseException) -> str:
    """Return type and first line of the innermost cause; Triton wraps an error once for every enclosing function."""
    while problem.__cause__ is not None:
        problem = problem.__cause__
    text = getattr(problem, "error_message", None) or str(problem)
    return f"{type(problem).__name__}: {first_line(text, 'no message')}"
