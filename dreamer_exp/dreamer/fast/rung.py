"""`algo.kernels` on this device: the update as it will be called, which rung that is, and why it is no higher one."""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamer_exp.dreamer.fast.actor import ActionKind
from dreamer_exp.dreamer.fast.graph import GraphedUpdate
from dreamer_exp.dreamer.fast.losses import Batch
from dreamer_exp.dreamer.fast.products import Precision
from dreamer_exp.dreamer.fast.rssm import State
from dreamer_exp.dreamer.fast.update import Update

ROWS = 16  # of a product on tensor cores, and of the sequences that a group of a scan's programs works on
COLUMNS = 16  # of the recurrent units that such a program works on
LEAST_PROGRAMS = 16  # of a group; fewer take longer than `graph`
CAPABILITY = (8, 0)  # the first with bfloat16 and TensorFloat-32
OUTPUTS = 32  # of the actor, that imagination has room for


class Rung(NamedTuple):
    """`name` is a word of algo.kernels, `why` the reason where it isn't the one asked for, or ""."""

    update: Callable[[Batch], tuple[dict[str, Tensor], State]]
    name: str
    why: str = ""


def on_rung(update: Update, kernels: str, precision: str, shape: tuple[int, int]) -> Rung:
    """The update on the rung asked for, for batches of B sequences of T steps; where `fused` can't, on `graph`."""
    if kernels == "eager":
        return Rung(update, "eager")
    if kernels == "graph":
        return Rung(GraphedUpdate(update), "graph")
    gpu = torch.cuda.get_device_properties(update.device)
    why = why_not_on(gpu, update.agent.action, shape[0]) or ""
    if not why:
        programs = programs_on(gpu.multi_processor_count, shape[0], update.agent.size.deter)
        why, fused = _fused(update, precision, shape, programs)
        if fused is not None:
            return Rung(fused, "fused")
    return Rung(GraphedUpdate(update), "graph", why)


def why_not_on(gpu: Any, action: ActionKind, rows: int) -> str | None:
    """What keeps the fused kernels from a GPU, by torch's properties of it, or from the actions; None: nothing."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed, which compiles the fused kernels"
    if (gpu.major, gpu.minor) < CAPABILITY:
        return f"the {gpu.name} has compute capability {gpu.major}.{gpu.minor}, and the fused kernels need 8.0"
    needed = LEAST_PROGRAMS * rows // ROWS
    if gpu.multi_processor_count < needed:
        return (
            f"the {gpu.name} offers {gpu.multi_processor_count} multiprocessors, and the fused kernels need {needed} "
            f"for algo.batch_size_B={rows}"
        )
    if action.outputs > OUTPUTS:
        return f"the actor has {action.outputs} outputs, and the fused kernels take up to {OUTPUTS}"
    return None


def programs_on(multiprocessors: int, rows: int, deter: int) -> int:
    """How many programs share 16 rows of a scan: one for 16 recurrent units each, but all resident at once.

    A multiprocessor holds one of them for certain, so that no barrier waits for a program that can't begin.
    """
    return min(deter // COLUMNS, multiprocessors // (rows // ROWS))


def _fused(
    update: Update, precision: str, shape: tuple[int, int], programs: int
) -> tuple[str, None] | tuple[str, GraphedUpdate]:
    from triton.errors import TritonError

    from dreamer_exp.dreamer.fast.fused.update import FusedUpdate

    fused = FusedUpdate(update, Precision.of(precision), shape, programs, persistent=True)
    try:
        fused.rehearse()
    except (TritonError, RuntimeError) as problem:  # a kernel that this GPU, driver or compiler doesn't take
        return f"the fused kernels don't run here: {str(problem).splitlines()[0]}", None
    return "", GraphedUpdate(fused)
