"""Parallel compilation of kernels, which shortens the time from the start of a process to its first update."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
import triton


def run_in_threads(device: torch.device, *launches: Callable[[], object]) -> None:
    """Call functions that launch kernels, each in a separate thread; without a GPU one after another.

    Triton and its C compiler mostly run outside of Python's global lock. Triton's interpreter needs a single thread.

    Raises:
        Exception: what a function raised, after all have ended.
    """
    on_gpu = device.type == "cuda"

    def launch(function: Callable[[], object]) -> None:
        if on_gpu:  # device, context and gradient mode belong to a thread
            torch.cuda.set_device(device)
            torch.zeros(1, device=device)  # a launch makes the context current, without which cuBLAS warns
        with torch.no_grad():
            function()

    _compute_cache_keys()
    with ThreadPoolExecutor(len(launches) if on_gpu else 1) as threads:
        for done in [threads.submit(launch, function) for function in launches]:
            try:
                done.result()
            finally:
                del done  # otherwise the error refers to this frame and itself, and keeps every buffer alive


def _compute_cache_keys() -> None:
    """Compute the key of every kernel in Triton's cache, always in the same order.

    A function's key depends on which of the functions that it calls already have theirs (Triton 3.6,
    `DependenciesFinder._update_hash`), so threads would sometimes compile a kernel that is in the cache.
    """
    for name in sorted(sys.modules):
        if name.startswith(__package__):
            for value in list(vars(sys.modules[name]).values()):
                if isinstance(value, triton.JITFunction):
                    value.cache_key  # noqa: B018
