"""The agent as an RLlib RLModule, which learners and env runners build, synchronise and checkpoint."""

from dataclasses import fields
from typing import Any

import gymnasium
import numpy as np
import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch import TorchRLModule

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import LEARNER_ONLY, Agent
from dreamer_exp.algorithms.dreamerv3.observation_parts import read_parts
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

DETER, STOCH, PREVIOUS_ACTION = "deter", "stoch", "previous_action"


class AgentModule(TorchRLModule, InferenceOnlyAPI):  # type: ignore[misc]  # RLlib is untyped
    """RLModule with an `agent` for vector observations (N, O) and Box actions in [-1, 1] or Discrete ones.

    Its `model_config` holds `size` (a dict of NetworkSize's fields), `symlog_obs`, `seed` of the initial weights,
    and `observation`, the parts of the observation as `write_parts` returns them, if it has any.
    An inference-only copy, as env runners have it, lacks the parts in LEARNER_ONLY.
    """

    framework = "torch"

    def setup(self) -> None:
        """Build the network; torch's global generator keeps its state."""
        size = NetworkSize(**{field.name: self.model_config["size"][field.name] for field in fields(NetworkSize)})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.model_config["seed"])
            self.agent = Agent(
                size,
                self.observation_space.shape[0],
                action_kind(self.action_space),
                self.model_config["symlog_obs"],
                read_parts(self.model_config.get("observation")),
            )
        if self.inference_only:  # RLlib 2.60 cannot remove attributes of a submodule itself
            self.agent.remove_learner_only()

    def get_non_inference_attributes(self) -> list[str]:
        """Return the parts that are not sent to env runners."""
        return [f"agent.{part}" for part in LEARNER_ONLY]

    def get_initial_state(self) -> dict[str, np.ndarray]:
        """Return the zero state of one environment: deter (D,), stoch (S*C,), previous_action (A,)."""
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

    @torch.no_grad()
    def _act(self, batch: dict[str, Any], explore: bool) -> dict[str, Any]:
        """Return actions and states as RLlib names them; noise comes from torch's global generator.

        Args:
            batch: OBS (N, O), STATE_IN (N, ...), is_first (N,).
            explore: whether to draw actions, rather than to take the mode.
        """
        agent, kind = self.agent, self.agent.action
        observation, state_in = batch[Columns.OBS], batch[Columns.STATE_IN]
        # (N, 1)
        keep = 1.0 - batch["is_first"].float()[:, None]
        before = State(state_in[DETER], state_in[STOCH]).masked(keep)
        # (N, S), (N, noise)
        latent_noise = torch.rand(len(observation), agent.size.stoch, device=observation.device)
        draw = torch.rand if kind.discrete else torch.randn
        action_noise = draw(len(observation), kind.noise, device=observation.device) if explore else None
        tokens = agent.encoder(observation)
        state, _ = agent.rssm.observe_step(before, state_in[PREVIOUS_ACTION] * keep, tokens, latent_noise)
        # (N, A)
        action = agent.choose(state, action_noise)
        return {
            Columns.ACTIONS: action.argmax(-1) if kind.discrete else action.clamp(-1.0, 1.0),
            Columns.STATE_OUT: {DETER: state.deter, STOCH: state.stoch, PREVIOUS_ACTION: action},
        }


def action_kind(space: gymnasium.Space[Any]) -> ActionKind:
    """Return the actor's distribution for an action space: Box (A,) or Discrete."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return ActionKind(int(space.n), discrete=True)
    assert isinstance(space, gymnasium.spaces.Box)
    return ActionKind(int(space.shape[0]), discrete=False)
