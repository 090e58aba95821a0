"""TorchRL's DreamerV3 learner, which update_time.py compares if it is installed (`pip install torchrl==0.14.1`).

Its networks and losses are those of its example sota-implementations/dreamer_v3, which its wheel contains, with the
sizes of this package. One number is the width of all its layers, so --size has to have equal `hidden` and `units`. On a
GPU the step is compiled around a scan and captured in a CUDA graph, as its `optimization.compile=auto` does; on a CPU
it is eager.
"""

import importlib.util
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from update_sides import ACTIONS, Work, random_numbers, timed

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

EXAMPLE = "sota-implementations/dreamer_v3"
ENV_ID = "UpdateTime-v0"
# of its config.yaml and config_dmc_walker.yaml at 0.14: values that the learner reads and that are not sizes
OPTIMIZATION = {
    "compile": "auto", "compile_train_step": None, "compile_rssm": None, "cudagraph_train_step": None,
    "compile_train_step_mode": "default", "rssm_scan_unroll": 8, "lr": 4e-5, "optimizer_eps": 1e-20,
    "adaptive_grad_clip": 0.3, "warmup_steps": 1000, "continuation_horizon": 333, "use_reinforce": True,
    "return_normalization_rate": 0.01, "return_normalization_min_scale": 1.0, "slow_critic_regularization": 1.0,
    "slow_critic_tau": 0.02, "free_bits": 1.0, "dynamic_loss_weight": 1.0, "representation_loss_weight": 0.1,
    "replay_value_loss_weight": 0.3, "gamma": 1.0, "lmbda": 0.95, "separate_policy_rng": False,
}  # fmt: skip


def why_not_torchrl(work: Work) -> str:
    """Return why TorchRL's learner cannot be measured here, or an empty text."""
    found = importlib.util.find_spec("torchrl")
    if found is None or found.origin is None:
        return "torchrl is not installed: pip install torchrl==0.14.1"
    if not (Path(found.origin).parents[1] / EXAMPLE / "train.py").is_file():
        return f"the installed torchrl lacks {EXAMPLE}, which release 0.14.1 has"
    size = SIZES[work.size]
    if size.hidden != size.units:
        return f"its layers have one width, and size {work.size} has hidden={size.hidden} and units={size.units}"
    return ""


class Spaces(gymnasium.Env):  # type: ignore[type-arg]
    """The observation and action of a work; its learner asks an environment for them."""

    def __init__(self, observation: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (observation,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return np.zeros(self.observation_space.shape, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(self.observation_space.shape, np.float32), 0.0, False, False, {}


def torchrl_side(work: Work) -> Callable[[], float]:
    """Return a function that makes one update of TorchRL's learner and returns its seconds."""
    import torchrl

    folder = Path(torchrl.__file__).parents[1] / EXAMPLE
    sys.path.insert(0, str(folder))
    example = runpy.run_path(str(folder / "train.py"), run_name="dreamer_v3_learner")
    gymnasium.register(ENV_ID, lambda: Spaces(work.observation))
    torch.manual_seed(0)
    config, device = example_config(work), torch.device(work.device)
    learner = example["_build_learner"](config, device, work.observation, ACTIONS)
    update = example["_make_learner_update"](config, device, learner)
    example["_warm_up_learner"](config, device, update, work.observation, ACTIONS)

    def once() -> float:
        batch = torchrl_batch(work)
        if device.type == "cuda":
            batch = batch.pin_memory()
        return timed(lambda: update.step(None, batch.to(device, non_blocking=True)), work.device)

    return once


def example_config(work: Work) -> Any:
    """Return the example's configuration for a work."""
    from omegaconf import OmegaConf

    size = SIZES[work.size]
    return OmegaConf.create({
        "env": {
            "backend": "gym", "name": ENV_ID, "seed": 0, "use_seed": True, "max_episode_steps": 1000,
            "vector_key": "observation", "pixels_key": None,
        },
        "collector": {"num_envs": 1, "backend": "sync"},
        "replay_buffer": {"batch_size": work.batch, "seq_len": work.length},
        "networks": {
            "rnn_hidden_dim": size.deter, "num_categoricals": size.stoch, "num_classes": size.classes, "unimix": 0.01,
            "recurrent_model": "block_gru", "num_blocks": size.blocks, "dynamics_layers": 1,
            "prior_layers": size.prior_layers, "posterior_layers": size.posterior_layers, "norm_eps": 1e-4,
            "num_reward_bins": 255, "num_value_bins": 255, "hidden_dim": size.units,
            "encoder_layers": size.encoder_layers, "decoder_layers": size.decoder_layers,
            "decoder_event_dims": None, "reward_layers": size.reward_layers, "actor_layers": size.actor_layers,
            "value_layers": size.critic_layers, "policy_min_std": 0.1, "policy_max_std": 1.0,
        },
        "optimization": {
            **OPTIMIZATION, "imagination_horizon": work.horizon, "mixed_precision": work.dtype == "bfloat16",
        },
    })  # fmt: skip


def torchrl_batch(work: Work) -> Any:
    """Return a random batch with TorchRL's names, in host memory."""
    from tensordict import TensorDict

    numbers, size = random_numbers(work), SIZES[work.size]
    flags = torch.zeros(*work.shape, 1, dtype=torch.bool)
    starts = flags.clone()
    starts[:, 0] = True
    return TensorDict(
        {
            "state": torch.zeros(*work.shape, size.latent),
            "belief": torch.zeros(*work.shape, size.deter),
            "action": torch.from_numpy(numbers["actions"]),
            "is_init": starts,
            "next": {
                "observation": torch.from_numpy(numbers["obs"]),
                "reward": torch.from_numpy(numbers["rewards"])[..., None],
                "done": flags,
                "terminated": flags.clone(),
                "truncated": flags.clone(),
            },
        },
        list(work.shape),
    )
