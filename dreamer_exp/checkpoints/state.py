"""An algorithm's state in a checkpoint: RLlib's state, replay, policy, and the main process's random generators."""

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dreamer_exp.algorithms.protocol import Algorithm
from dreamer_exp.checkpoints.policy_file import save_learner_policy

RLLIB, REPLAY, RANDOM = "rllib", "replay", "random.json"  # in a checkpoint's folder


def save_state(algorithm: Algorithm, name: str, folder: Path, about: dict[str, Any]) -> None:
    """Write the algorithm's state into a folder, which is created if needed.

    The state of the env runners is not saved: the caller resets them before (`Algorithm.reset_episodes`).

    Args:
        algorithm: Between two iterations.
        name: The name of the algorithm.
        folder: Absolute path, on a file system that the learner's process can write too.
        about: JSON values for policy.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    algorithm.save_to_path(str(folder / RLLIB))
    algorithm.save_replay(folder / REPLAY)
    algorithm.on_learner(partial(save_learner_policy, algorithm=name, folder=folder, extra=about))
    (folder / RANDOM).write_text(json.dumps(random_states()), encoding="utf-8")


def load_state(algorithm: Algorithm, folder: Path) -> None:
    """Load what `save_state` wrote into an algorithm that was just built.

    RLlib's files are pickles, which can run any code: load only checkpoints that you trust.
    """
    algorithm.restore_from_path(str(folder / RLLIB))
    algorithm.load_replay(folder / REPLAY)
    set_random_states(json.loads((folder / RANDOM).read_text(encoding="utf-8")))


def random_states() -> dict[str, Any]:
    """Return the states of the global generators of Python, numpy and torch as JSON values."""
    version, numbers, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002  # the global generator
    assert isinstance(keys, np.ndarray)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],
        "torch": bytes(torch.get_rng_state().numpy()).hex(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Set the global generators to states that `random_states` returned."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(torch.frombuffer(bytearray.fromhex(states["torch"]), dtype=torch.uint8))
