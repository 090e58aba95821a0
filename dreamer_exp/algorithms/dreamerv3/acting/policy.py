"""The agent as a policy: acts in N environments at once, remembers what it saw, and draws noise of its own."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.acting.step import choose, observe_step
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State


class AgentPolicy:
    """Samples actions if `explore`, else takes the mode.

    The posterior latent is sampled even so, hence the generator: the same seed gives the same actions, and torch's
    global generator, which training draws from, is left as it was. The agent is not copied: weights that are loaded
    into it count from the next step on.
    """

    def __init__(self, agent: Agent, num_envs: int, seed: int, explore: bool = False) -> None:
        self.explore = explore
        self._agent = agent
        weight = agent.rssm.posterior_in.weight
        self._generator = torch.Generator(weight.device).manual_seed(seed)
        self._state = agent.rssm.initial(num_envs)
        self._action = weight.new_zeros(num_envs, agent.action.size)
        self._classes = torch.zeros(num_envs, agent.size.stoch, dtype=torch.long, device=weight.device)

    @torch.inference_mode()
    def act(self, observations: NDArray[np.float32], is_first: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Actions (N, A) in [-1, 1], or (N,) whole numbers for Discrete, of observations (N, O).

        Where `is_first`, what was before is forgotten. Without it, nothing is: the very first call has no past.
        """
        if is_first is not None and is_first.any():
            self._forget(is_first)
        observation = torch.as_tensor(observations, device=self._generator.device)
        noise = self._uniform(len(observations), self._agent.size.stoch)
        self._state, self._classes = observe_step(self._agent, self._state, self._action, observation, noise)
        self._action = choose(self._agent, self._state, self._action_noise())
        if self._agent.action.discrete:
            indices: NDArray[Any] = self._action.argmax(-1).cpu().numpy()
            return indices
        self._action = self._action.clamp(-1.0, 1.0)
        return self.action

    @property
    def action(self) -> NDArray[np.float32]:
        """The last actions (N, A) as the world model sees them: one-hot, or clipped as the environment got them.

        The published code stores Box actions unclipped, and clips them in the environment. The world model cannot tell
        the difference (it divides what is beyond [-1, 1] by its magnitude), nothing else reads replayed actions, and
        this way the replay holds what was done.
        """
        actions: NDArray[np.float32] = self._action.cpu().numpy()
        return actions

    @property
    def deter(self) -> NDArray[np.float16]:
        """The recurrent state (N, D) after the last observations."""
        deter: NDArray[np.float16] = self._state.deter.half().cpu().numpy()
        return deter

    @property
    def stoch(self) -> NDArray[np.uint8]:
        """The class (N, S) of each categorical after the last observations."""
        classes: NDArray[np.uint8] = self._classes.byte().cpu().numpy()
        return classes

    def _forget(self, is_first: NDArray[np.bool_]) -> None:
        keep = torch.as_tensor(~is_first, device=self._generator.device)[:, None]
        self._state = State(self._state.deter * keep, self._state.stoch * keep)
        self._action = self._action * keep

    def _action_noise(self) -> Tensor | None:
        if not self.explore:
            return None
        kind, rows = self._agent.action, len(self._action)
        if kind.discrete:
            return self._uniform(rows, kind.noise)
        return torch.randn(rows, kind.noise, generator=self._generator, device=self._generator.device)

    def _uniform(self, rows: int, columns: int) -> Tensor:
        return torch.rand(rows, columns, generator=self._generator, device=self._generator.device)
