"""Kernels compiled side by side: one after another they take a third of the time that a first update may take."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
import triton


def at_once(device: torch.device, *parts: Callable[[], object]) -> None:
    """Runs parts that launch kernels, each in a thread: Triton and its C compiler work outside of Python's lock for the
    most part, its interpreter in one thread alone.

    Raises:
        Exception: what a part raised, once all have ended.
    """
    on_gpu = device.type == "cuda"

    def launch(part: Callable[[], object]) -> None:
        if on_gpu:  # device, context and gradient mode are a thread's own
            torch.cuda.set_device(device)
            torch.zeros(1, device=device)  # a launch makes the context current, without which cuBLAS warns
        with torch.no_grad():
            part()

    _take_keys()
    with ThreadPoolExecutor(len(parts) if on_gpu else 1) as threads:
        for done in [threads.submit(launch, part) for part in parts]:
            try:
                done.result()
            finally:
                del done  # else an error, which holds this frame, holds itself, and with it all that failed to fit


def _take_keys() -> None:
    """Gives each kernel its key in Triton's cache, always in one order.

    The key of a function differs by which of the functions that it calls had theirs before (Triton 3.6,
    `DependenciesFinder._update_hash`), so that threads would now and then compile what is in the cache.
    """
    for name in sorted(sys.modules):
        if name.startswith(__package__):
            for value in list(vars(sys.modules[name]).values()):
                if isinstance(value, triton.JITFunction):
                    value.cache_key  # noqa: B018
