"""Durations of an update's sections on the GPU, within the one graph that it is replayed as."""

import statistics

import torch

from dreamer_exp.algorithms.dreamerv3.backends.fused.streams import durations
from dreamer_exp.algorithms.dreamerv3.backends.fused.update import FusedUpdate
from dreamer_exp.algorithms.dreamerv3.losses import Batch

WARM_UP, REPEATS = 10, 40


def sections(update: FusedUpdate, batch: Batch) -> dict[str, float]:
    """Return the median milliseconds of the main stream by section.

    Work on other streams counts where the main stream waits for it. This makes `WARM_UP + REPEATS` updates with the
    batch. Make an update before, so that the kernels are compiled.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(update.device, priority=-1)  # as in cuda_graph.py
    graph.register_generator_state(update.generator)
    torch.cuda.synchronize(update.device)
    with update.gradients.streams.marking() as marks, torch.cuda.graph(graph, stream=stream):
        update(batch)
    measured = []
    for repeat in range(WARM_UP + REPEATS):
        graph.replay()
        torch.cuda.synchronize(update.device)
        if repeat >= WARM_UP:
            measured.append(durations(marks))
    return {section: statistics.median(times[section] for times in measured) for section in measured[0]}
