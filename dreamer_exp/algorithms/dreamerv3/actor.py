"""The actor's distributions: bounded normal for Box actions, unimix categorical for Discrete ones.

Source: danijar/dreamerv3, embodied/jax/heads.py (`bounded_normal`, `categorical`), for arXiv 2301.04104v2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.maths import draw_classes, unimix_probabilities

MIN_STD, MAX_STD = 0.1, 1.0


@dataclass(frozen=True)
class ActionKind:
    """Box actions (A,) in [-1, 1], or Discrete ones as one-hot vectors (A,)."""

    size: int
    discrete: bool

    @property
    def outputs(self) -> int:
        """Width of the actor's output layer: mean and spread a Box dimension, a logit a Discrete choice."""
        return self.size if self.discrete else 2 * self.size

    @property
    def noise(self) -> int:
        """Random numbers that one action takes: uniform ones for Discrete, standard normal ones for Box."""
        return 1 if self.discrete else self.size

    def sample(self, output: Tensor, noise: Tensor) -> Tensor:
        """Actions (..., A) of the actor's output and noise (..., noise); no gradient (REINFORCE)."""
        if self.discrete:
            classes = draw_classes(unimix_probabilities(output), noise[..., 0])
            return functional.one_hot(classes, self.size).to(output.dtype)
        mean, std = self._normal(output)
        return (mean + std * noise).detach()

    def mode(self, output: Tensor) -> Tensor:
        """The most likely action (..., A)."""
        if self.discrete:
            return functional.one_hot(output.argmax(-1), self.size).to(output.dtype)
        return self._normal(output)[0]

    def log_probability_and_entropy(self, output: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """ln pi(action) and the distribution's entropy in nats, (...) each."""
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
        mean, spread = output.chunk(2, -1)
        return torch.tanh(mean), (MAX_STD - MIN_STD) * torch.sigmoid(spread + 2.0) + MIN_STD
