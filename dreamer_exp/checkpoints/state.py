"""Everything that an algorithm goes on from: RLlib's state, replay, policy, random generators of the main process."""

import json
import random
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.learner import Learner

from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.checkpoints.policy_file import save_policy

RLLIB, REPLAY, RANDOM = "rllib", "replay", "random.json"  # in a checkpoint's folder


def save_state(algorithm: BaseDreamerV3, folder: Path, about: dict[str, Any]) -> None:
    """Writes the algorithm into a folder, which it makes.

    Env runners have no part in it: the caller has them begin anew (`BaseDreamerV3.reset_episodes`) before.

    Args:
        algorithm: between two iterations.
        folder: absolute, on a file system that the learner reaches too.
        about: goes into policy.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    algorithm.save_to_path(str(folder / RLLIB))
    algorithm.save_replay(folder / REPLAY)
    algorithm.on_learner(partial(_save_policy, folder=folder, about=about))
    (folder / RANDOM).write_text(json.dumps(random_states()), encoding="utf-8")


def load_state(algorithm: BaseDreamerV3, folder: Path) -> None:
    """Takes up what `save_state` wrote, in an algorithm just built.

    RLlib's files are pickles: loading one runs what it says, so load only checkpoints that you trust.
    """
    algorithm.restore_from_path(str(folder / RLLIB))
    algorithm.load_replay(folder / REPLAY)
    algorithm.on_learner(_draw_first_latent)
    set_random_states(json.loads((folder / RANDOM).read_text(encoding="utf-8")))


def random_states() -> dict[str, Any]:
    """Of Python's, numpy's and torch's global generators, as JSON values."""
    version, numbers, gauss = random.getstate()
    name, keys, place, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002  # what others draw from
    assert isinstance(keys, np.ndarray)
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, keys.tolist(), place, has_gauss, cached],
        "torch": bytes(torch.get_rng_state().numpy()).hex(),
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Sets the global generators."""
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, place, has_gauss, cached = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), place, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(torch.frombuffer(bytearray.fromhex(states["torch"]), dtype=torch.uint8))


def _draw_first_latent(learner: Learner) -> None:
    """RLlib's stock module draws a latent when it is first asked this, which a run that goes on has behind it."""
    learner.module[DEFAULT_MODULE_ID].unwrapped().is_stateful()


def _save_policy(learner: Learner, folder: Path, about: dict[str, Any]) -> None:

    save_policy(learner.module[DEFAULT_MODULE_ID].unwrapped(), folder, about)
