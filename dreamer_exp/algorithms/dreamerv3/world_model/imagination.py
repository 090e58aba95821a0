"""Imagination: steps of the RSSM under its prior, without observations (eq. 1)."""

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature, gather_sum, one_hot, sample_rows
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import Rssm, State, Transition


class Imagination:
    """Imagined states of N rows, one step at a time, without gradient.

    Args:
        rssm: the model.
        start: first states (N, ...).
        steps: the most steps that will be taken.
    """

    @torch.no_grad()
    def __init__(self, rssm: Rssm, start: State, steps: int) -> None:
        self.rssm, self.deter, self.stoch = rssm, start.deter, start.stoch
        self.transition = Transition(rssm, steps, len(start.deter))
        feature = rssm.feature(start)
        self.rows = feature.rows if isinstance(feature, Feature) else None
        layer, self.stoch_norm = rssm.stoch_layers
        # (S*C, U), (U,)
        self.table, self.bias = layer.weight.t().contiguous(), layer.bias

    @property
    def feature(self) -> Tensor | Feature:
        """Input of the heads in the current state: N rows, dense or as a `Feature`."""
        if self.rows is None:
            return torch.cat([self.deter, self.stoch], -1)
        return Feature.of(self.deter, self.rows, self.rssm.size.latent)

    @torch.no_grad()
    def step(self, action: Tensor, uniform: Tensor) -> None:
        """Move to the state after an action (N, A), drawn with noise (N, S) in [0, 1)."""
        # (N, U)
        product = self.stoch @ self.table if self.rows is None else gather_sum(self.rows, self.table)
        stoch_units = self.stoch_norm(product + self.bias)
        # (N, D)
        self.deter = self.transition(self.deter, stoch_units, self.rssm.action_units(action))
        # (N, S, C)
        prior = self.rssm.prior(self.deter)
        # (N, S)
        rows = sample_rows(prior, uniform)
        if self.rows is None:
            self.stoch = one_hot(rows, prior)
        else:
            self.rows = rows
