"""The network of one agent: encoder, RSSM, decoder, reward and continue heads, actor, critic and slow critic."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.maths import two_hot_bins
from dreamer_exp.algorithms.dreamerv3.networks.layers import Head
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.sizes import BINS, NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.entries import EntryDecoder, EntryEncoder
from dreamer_exp.algorithms.dreamerv3.world_model.observation import VectorDecoder, VectorEncoder
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import Rssm, State

LEARNER_ONLY = ("decoder", "reward", "cont", "critic", "slow_critic")  # parts that acting does not need


class Agent(nn.Module):
    """World model, actor and critic for vector observations (..., O) and actions (..., A).

    The slow critic follows the critic and is not optimised.

    Args:
        size: layers and widths.
        observation_size: O.
        action: the distribution of actions, and A.
        symlog_obs: whether the encoder reads, and the decoder predicts, symlog of the observation.
        parts: of the observation, each with its encoder; without them, one MLP reads the vector.
    """

    bins: Tensor

    encoder: VectorEncoder | EntryEncoder
    decoder: VectorDecoder | EntryDecoder

    def __init__(
        self,
        size: NetworkSize,
        observation_size: int,
        action: ActionKind,
        symlog_obs: bool = True,
        parts: Sequence[Part] = (),
    ) -> None:
        super().__init__()
        self.size, self.action, self.observation_size = size, action, observation_size
        feature, units = size.feature, size.units
        if parts:
            self.encoder = EntryEncoder(parts, units, size.encoder_layers, symlog_obs)
        else:
            self.encoder = VectorEncoder(observation_size, units, size.encoder_layers, symlog_obs)
        self.rssm = Rssm(size, action.size, self.encoder.tokens)
        if parts:
            self.decoder = EntryDecoder(parts, feature, units, size.decoder_layers, symlog_obs)
        else:
            self.decoder = VectorDecoder(feature, units, size.decoder_layers, observation_size, symlog_obs)
        self.reward = Head(feature, units, size.reward_layers, BINS, output_scale=0.0)
        self.cont = Head(feature, units, size.continue_layers, 1)
        self.actor = Head(feature, units, size.actor_layers, action.outputs, output_scale=0.01)
        self.critic = Head(feature, units, size.critic_layers, BINS, output_scale=0.0)
        self.slow_critic = copy.deepcopy(self.critic).requires_grad_(False)
        self.register_buffer("bins", two_hot_bins(), persistent=False)

    def choose(self, state: State, noise: Tensor | None) -> Tensor:
        """Return the actor's actions (N, A) in states (N, ...).

        Args:
            state: the posterior states.
            noise: what actions are drawn with (N, action.noise), as `ActionKind.sample` takes it; None for the mode.
        """
        return self.action.choose(self.actor(state.feature), noise)

    def remove_learner_only(self) -> None:
        """Remove the parts that acting does not need."""
        for part in LEARNER_ONLY:
            delattr(self, part)

    @torch.no_grad()
    def update_slow_critic(self, rate: float) -> None:
        """Move the slow critic's parameters towards the critic's by this fraction of their distance."""
        torch._foreach_lerp_(list(self.slow_critic.parameters()), list(self.critic.parameters()), rate)
