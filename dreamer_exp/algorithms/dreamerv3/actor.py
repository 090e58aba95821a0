"""Action distributions of the actor: bounded normal for Box actions, unimix categorical for Discrete ones.

Source: danijar/dreamerv3, embodied/jax/heads.py (`bounded_normal`, `categorical`), for arXiv:2301.04104v2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.categorical import draw_classes
from dreamer_exp.algorithms.dreamerv3.maths import unimix_probabilities

MIN_STD, MAX_STD = 0.1, 1.0  # bounds of the normal's standard deviation


@dataclass(frozen=True)
class ActionKind:
    """Distribution of Box actions (A,) in [-1, 1], or of Discrete ones as one-hot vectors (A,).

    Attributes:
        size: A.
        discrete: whether the action space is Discrete.
    """

    size: int
    discrete: bool

    @property
    def outputs(self) -> int:
        """Width of the actor's output: mean and spread for each Box dimension, one logit for each Discrete action."""
        return self.size if self.discrete else 2 * self.size

    @property
    def noise(self) -> int:
        """Random numbers needed to draw one action: standard normal for Box, uniform in [0, 1) for Discrete."""
        return 1 if self.discrete else self.size

    def choose(self, output: Tensor, noise: Tensor | None) -> Tensor:
        """Return actions (..., A) drawn with this noise, or the most likely ones for None."""
        return self.mode(output) if noise is None else self.sample(output, noise)

    def sample(self, output: Tensor, noise: Tensor) -> Tensor:
        """Return actions (..., A) drawn without gradient (REINFORCE needs none).

        Args:
            output: of the actor (..., outputs).
            noise: (..., noise).
        """
        if self.discrete:
            classes = draw_classes(unimix_probabilities(output), noise[..., 0])
            return functional.one_hot(classes, self.size).to(output.dtype)
        mean, std = self._normal(output)
        return (mean + std * noise).detach()

    def mode(self, output: Tensor) -> Tensor:
        """Return the most likely actions (..., A) for the actor's output (..., outputs)."""
        if self.discrete:
            return functional.one_hot(output.argmax(-1), self.size).to(output.dtype)
        return torch.tanh(output[..., : self.size])

    def log_probability_and_entropy(self, output: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-probability of an action and the entropy of the distribution (...), both in nats.

        Args:
            output: of the actor (..., outputs).
            action: (..., A).
        """
        if self.discrete:
            probabilities = unimix_probabilities(output)
            log_probabilities = torch.log(probabilities)
            return (log_probabilities * action).sum(-1), -(probabilities * log_probabilities).sum(-1)
        mean, std = self._normal(output)
        log_std = torch.log(std).sum(-1)
        distance = 0.5 * ((action - mean) / std).square().sum(-1)
        constant = 0.5 * self.size * math.log(2 * math.pi)
        return -distance - log_std - constant, log_std + constant + 0.5 * self.size

    def _normal(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (..., A)."""
        mean, spread = output.chunk(2, -1)
        return torch.tanh(mean), (MAX_STD - MIN_STD) * torch.sigmoid(spread + 2.0) + MIN_STD
