"""How long the parts of an update take on the GPU, inside the one graph that it is replayed as."""

import statistics

import torch

from dreamer_exp.algorithms.dreamerv3.backends.fused.streams import between
from dreamer_exp.algorithms.dreamerv3.backends.fused.update import FusedUpdate
from dreamer_exp.algorithms.dreamerv3.losses import Batch

WARM_UP, REPEATS = 10, 40


def parts(update: FusedUpdate, batch: Batch) -> dict[str, float]:
    """Milliseconds of the main stream by part, medians; what runs beside it counts where it is waited for.

    Makes that many updates with the batch. Call the update before, so that its kernels are compiled.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(update.device, priority=-1)  # as graph.py's
    graph.register_generator_state(update.generator)
    torch.cuda.synchronize(update.device)
    with update.gradients.lanes.marking() as marks, torch.cuda.graph(graph, stream=stream):
        update(batch)
    seen = []
    for repeat in range(WARM_UP + REPEATS):
        graph.replay()
        torch.cuda.synchronize(update.device)
        if repeat >= WARM_UP:
            seen.append(between(marks))
    return {part: statistics.median(times[part] for times in seen) for part in seen[0]}
