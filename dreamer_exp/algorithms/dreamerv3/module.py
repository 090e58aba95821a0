"""The agent as an RLlib RLModule: what learners and env runners build, synchronise and checkpoint."""

from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from dreamer_exp.algorithms.dreamerv3.acting.step import act
from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.config.sizes import NetworkSize

DETER, STOCH, PREVIOUS_ACTION = "deter", "stoch", "previous_action"
LEARNERS_ALONE = ("decoder", "reward", "cont", "critic", "slow_critic")  # parts that acting doesn't need


class AgentModule(TorchRLModule, InferenceOnlyAPI):  # type: ignore[misc]  # RLlib is untyped
    """Holds `agent`. `model_config`: `size` (a dict of NetworkSize's fields), `symlog_obs`, `seed` of the weights.

    Box actions are in [-1, 1]. An inference-only copy (an env runner's) has no decoder, heads and critics.
    """

    framework = "torch"

    def setup(self) -> None:
        """Builds the network from its own seeded generator state."""
        size = NetworkSize(**{field.name: self.model_config["size"][field.name] for field in fields(NetworkSize)})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.model_config["seed"])
            self.agent = Agent(
                size, self.observation_space.shape[0], action_kind(self.action_space), self.model_config["symlog_obs"]
            )
        if self.inference_only:  # here, as RLlib 2.60 would look for the parts of a part in the module itself
            for part in LEARNERS_ALONE:
                delattr(self.agent, part)

    def get_non_inference_attributes(self) -> list[str]:
        """What doesn't travel to env runners."""
        return [f"agent.{part}" for part in LEARNERS_ALONE]

    def get_initial_state(self) -> dict[str, np.ndarray]:
        """Zeros, of one environment."""
        size = self.agent.size
        return {
            DETER: np.zeros(size.deter, np.float32),
            STOCH: np.zeros(size.latent, np.float32),
            PREVIOUS_ACTION: np.zeros(self.agent.action.size, np.float32),
        }

    def _forward_exploration(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._act(batch, explore=True)

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return self._act(batch, explore=False)

    def _act(self, batch: dict[str, Any], explore: bool) -> dict[str, Any]:
        """RLlib's way in: obs (N, O), STATE_IN, is_first (N,); noise from torch's global generator."""
        observation, state_in = batch[Columns.OBS], batch[Columns.STATE_IN]
        rows, kind = len(observation), self.agent.action
        draw = torch.rand if kind.discrete else torch.randn
        action, state = act(
            self.agent,
            State(state_in[DETER], state_in[STOCH]),
            state_in[PREVIOUS_ACTION],
            observation,
            batch["is_first"].float(),
            torch.rand(rows, self.agent.size.stoch, device=observation.device),
            draw(rows, kind.noise, device=observation.device) if explore else None,
        )
        return {
            Columns.ACTIONS: action.argmax(-1) if kind.discrete else action.clamp(-1.0, 1.0),
            Columns.STATE_OUT: {DETER: state.deter, STOCH: state.stoch, PREVIOUS_ACTION: action},
        }


def action_kind(space: gymnasium.Space[Any]) -> ActionKind:
    """The actor's distribution for an action space: Box (A,) or Discrete."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return ActionKind(int(space.n), discrete=True)
    assert isinstance(space, gymnasium.spaces.Box)
    return ActionKind(int(space.shape[0]), discrete=False)
