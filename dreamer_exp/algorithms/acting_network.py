"""A network that acts, as functions of observation, state and noise: for `load_policy` and for exported graphs.

Importing this needs torch alone. Letters: N rows, O observation, A actions, S stochastic variables.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple, TypeAlias

from torch import Tensor, nn

from dreamer_exp.algorithms.rows import RowNoise

State: TypeAlias = tuple[Tensor, ...]
"""The recurrent state of N rows, which includes the last action as the world model reads it."""


class Prediction(NamedTuple):
    """What the heads of a world model predict in N states."""

    observation: Tensor  # (N, O)
    reward: Tensor  # (N,), received on arriving in the state
    proceeds: Tensor  # (N,), probability that the episode continues


class ActingNetwork(nn.Module, ABC):
    """A complete network in evaluation, with parameters named as in policy.safetensors.

    Attributes:
        action_size: A.
        discrete: whether actions are Discrete.
        stoch: S.
        has_world_model: whether it can imagine.
        has_heads: whether it has decoder, heads and critic; acting needs none of them.
        continues_with_discount: whether the continue head's probability contains the discount of the training.
        state_shapes: name of each part of the state -> its shape in one row.
    """

    action_size: int
    discrete: bool
    stoch: int
    has_world_model: bool = True
    has_heads: bool = True
    continues_with_discount: bool = False
    state_shapes: dict[str, tuple[int, ...]]

    @property
    def action_noise(self) -> int:
        """Random numbers that draw an action: standard normal for Box, uniform in [0, 1) for Discrete."""
        return 1 if self.discrete else self.action_size

    @abstractmethod
    def initial(self, rows: int) -> State:
        """Return the state of N rows at the beginning of an episode."""

    @abstractmethod
    def step(self, observation: Tensor, state: State, uniform: Tensor, noise: Tensor | None) -> tuple[Tensor, State]:
        """Return the actions and the next state: (N, A) in [-1, 1], or integers (N,) for Discrete.

        Args:
            observation: (N, O), as the policy was trained on it.
            state: before the observation.
            uniform: noise of the latent (N, S) in [0, 1).
            noise: of the action (N, action_noise); None takes the mode.
        """

    @abstractmethod
    def value(self, state: State) -> Tensor:
        """Return the critic's estimate of the return (N,) in these states."""

    @abstractmethod
    def imagine(self, state: State, action: Tensor, uniform: Tensor) -> State:
        """Return the states after actions (N, A), one-hot if Discrete, without an observation.

        Args:
            state: before the actions.
            action: in [-1, 1], or one-hot.
            uniform: noise of the latent (N, S) in [0, 1).
        """

    @abstractmethod
    def predict(self, state: State) -> Prediction:
        """Return what the heads predict in these states."""

    def draw(self, noise: RowNoise) -> Tensor:
        """Return the latent's noise (N, S) of the next step, drawn as the run's own policy draws it."""
        return noise.uniform(self.stoch)

    def after_mode(self, noise: RowNoise) -> None:
        """Draw what the run's own policy draws and ignores when it takes the mode."""
