"""RLlib's network as an `ActingNetwork`, without RLlib: the same parameters and operations, in the same order.

Source: RLlib 2.60, ray/rllib/algorithms/dreamerv3/torch/models (Apache License 2.0).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.algorithms.acting_network import ActingNetwork, Prediction, State
from dreamer_exp.algorithms.categorical import draw_classes
from dreamer_exp.algorithms.dreamerv3_rllib.sizes import WIDTHS, Width
from dreamer_exp.algorithms.rows import RowNoise

BINS, LAST_BIN = 255, 20.0  # of reward and return, from -20 to 20, in symlog
UNIMIX = 0.01
MIN_STD, MAX_STD = 0.1, 1.0
NORM_EPSILON = 1e-3


def build(description: Mapping[str, Any]) -> ActingNetwork:
    """Return the network of a policy.json, on torch's default device, with arbitrary weights."""
    action, width = description["action"], WIDTHS[description["network"]["model_size"]]
    is_discrete = action["kind"] == "discrete"
    return RLlibNetwork(
        width, description["observation_size"], action["size"], is_discrete, symlog_obs=description["symlog_obs"]
    )


class RLlibNetwork(ActingNetwork):
    """RLlib's network; its state is h (N, D), z (N, S, C) and a (N, A).

    Args:
        width: of the layers.
        observation_size: O.
        action_size: A.
        discrete: whether actions are Discrete.
        symlog_obs: whether the encoder reads, and the decoder predicts, symlog of the observation.
    """

    def __init__(
        self, width: Width, observation_size: int, action_size: int, discrete: bool, *, symlog_obs: bool
    ) -> None:
        super().__init__()
        self.action_size, self.discrete, self.stoch = action_size, discrete, width.stoch
        self.symlog_obs, self._deter = symlog_obs, width.deter
        self.state_shapes = {"h": (width.deter,), "z": (width.stoch, width.stoch), "a": (action_size,)}
        feature = width.deter + width.stoch**2
        self.encoder = Mlp(width, observation_size)
        self.decoder = Decoder(width, feature, observation_size)
        self.world_model = WorldModel(width, feature, action_size)
        self.actor = Actor(width, feature, action_size, discrete)
        self.critic = Critic(width, feature)

    def initial(self, rows: int) -> State:
        """Return tanh of the learned h, the most likely z in it, and the action 0."""
        model = self.world_model
        h = torch.tanh(model.initial_h)
        probabilities = model.dynamics_predictor(h[None])[0]
        z = functional.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).to(h.dtype)
        return h.repeat(rows, 1), z.repeat(rows, 1, 1), h.new_zeros(rows, self.action_size)

    def step(self, observation: Tensor, state: State, uniform: Tensor, noise: Tensor | None) -> tuple[Tensor, State]:
        """Return the actions and the next state, by the operations of RLlib's `forward_inference`."""
        model = self.world_model
        h = model.sequence_model(*state)
        squashed = symlog(observation) if self.symlog_obs else observation
        hidden = model.posterior_mlp(torch.cat([self.encoder(squashed), h], -1))
        z = draw(model.posterior_representation_layer(hidden), uniform)
        feature = _feature(h, z)
        if self.discrete:
            logits = torch.log(unimix(self.actor.mlp(feature)))
            # torch.distributions normalises logits and softmaxes them again
            probabilities = torch.softmax(logits - logits.logsumexp(-1, keepdim=True), -1)
            action = probabilities.argmax(-1) if noise is None else draw_classes(probabilities, noise[..., 0])
            return action, (h, z, functional.one_hot(action, self.action_size).to(h.dtype))
        action = torch.tanh(self.actor.mlp(feature))
        if noise is not None:
            action = action + noise * self.actor.std(feature)
        return action.clamp(-1.0, 1.0), (h, z, action)

    def value(self, state: State) -> Tensor:
        """Return the critic's estimate of the return (N,)."""
        critic = self.critic
        return symexp(critic.return_layer(critic.mlp(_feature(*state[:2]))))

    def imagine(self, state: State, action: Tensor, uniform: Tensor) -> State:
        """Return the next state under the prior."""
        h = self.world_model.sequence_model(*state[:2], action)
        return h, draw(self.world_model.dynamics_predictor(h), uniform), action

    def predict(self, state: State) -> Prediction:
        """Return what decoder, reward predictor and continue predictor predict."""
        model, feature = self.world_model, _feature(*state[:2])
        observation = self.decoder.mlp(feature)
        reward = model.reward_predictor
        return Prediction(
            symexp(observation) if self.symlog_obs else observation,
            symexp(reward.reward_layer(reward.mlp(feature))),
            torch.sigmoid(model.continue_predictor.mlp(feature)[..., 0]),
        )

    def draw(self, noise: RowNoise) -> Tensor:
        """Return the latent's noise; RLlib draws an initial state before it and discards it."""
        noise.uniform(-(-self.stoch // noise.rows))
        return noise.uniform(self.stoch)

    def after_mode(self, noise: RowNoise) -> None:
        """Draw the Discrete action that RLlib draws and ignores."""
        if self.discrete:
            noise.uniform(1)


class Mlp(nn.Module):
    """Layers of Linear without bias, LayerNorm and SiLU, and an output layer if `outputs` is given."""

    def __init__(self, width: Width, inputs: int, outputs: int | None = None, layers: int | None = None) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for _ in range(width.layers if layers is None else layers):
            norm = nn.LayerNorm(width.units, eps=NORM_EPSILON)
            parts += [nn.Linear(inputs, width.units, bias=False), norm, nn.SiLU()]
            inputs = width.units
        if outputs is not None:
            parts.append(nn.Linear(inputs, outputs))
        self._net = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for x (..., inputs)."""
        y: Tensor = self._net(x)
        return y


class Latent(nn.Module):
    """The layer that gives the probabilities of z."""

    def __init__(self, width: Width) -> None:
        super().__init__()
        self.stoch = width.stoch
        self.z_generating_layer = nn.Linear(width.units, width.stoch**2)

    def forward(self, x: Tensor) -> Tensor:
        """Return the probabilities (N, S, C) for x (N, units)."""
        return unimix(self.z_generating_layer(x).reshape(-1, self.stoch, self.stoch))


class Dynamics(nn.Module):
    """The prior."""

    def __init__(self, width: Width) -> None:
        super().__init__()
        self.mlp = Mlp(width, width.deter, layers=1)
        self.representation_layer = Latent(width)

    def forward(self, h: Tensor) -> Tensor:
        """Return the probabilities (N, S, C) for h (N, D)."""
        probabilities: Tensor = self.representation_layer(self.mlp(h))
        return probabilities


class Gru(nn.Module):
    """The recurrent cell."""

    def __init__(self, width: Width) -> None:
        super().__init__()
        self.deter = width.deter
        self.linear = nn.Linear(width.units + width.deter, 3 * width.deter, bias=False)
        self.layer_norm = nn.LayerNorm(3 * width.deter, eps=NORM_EPSILON)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the next h (N, D) for x (N, units)."""
        gates = self.layer_norm(self.linear(torch.cat([h, x], -1)))
        reset, candidate, update = gates.split(self.deter, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1)
        return update * candidate + (1 - update) * h


class Sequence(nn.Module):
    """The sequence model."""

    def __init__(self, width: Width, action_size: int) -> None:
        super().__init__()
        self.pre_gru_layer = Mlp(width, width.stoch**2 + action_size, layers=1)
        self.gru_unit = Gru(width)

    def forward(self, h: Tensor, z: Tensor, a: Tensor) -> Tensor:
        """Return the next h (N, D)."""
        after: Tensor = self.gru_unit(self.pre_gru_layer(torch.cat([z.flatten(1), a], -1)), h)
        return after


class Bins(nn.Module):
    """The layer of reward and return: the mean of the bins, in symlog."""

    def __init__(self, width: Width) -> None:
        super().__init__()
        self.reward_buckets_layer = nn.Linear(width.units, BINS)

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean (N,) for x (N, units)."""
        probabilities = torch.softmax(self.reward_buckets_layer(x), -1)
        outcomes = torch.linspace(-LAST_BIN, LAST_BIN, BINS, device=probabilities.device)
        return (probabilities * outcomes).sum(-1)


class Reward(nn.Module):
    """The reward predictor."""

    def __init__(self, width: Width, feature: int) -> None:
        super().__init__()
        self.mlp = Mlp(width, feature)
        self.reward_layer = Bins(width)


class Decoder(nn.Module):
    """A decoder, or another MLP whose parameters RLlib keeps under `mlp`."""

    def __init__(self, width: Width, feature: int, outputs: int) -> None:
        super().__init__()
        self.mlp = Mlp(width, feature, outputs)


class WorldModel(nn.Module):
    """The world model but encoder and decoder."""

    def __init__(self, width: Width, feature: int, action_size: int) -> None:
        super().__init__()
        self.initial_h = nn.Parameter(torch.zeros(width.deter))
        self.posterior_mlp = Mlp(width, width.deter + width.units, layers=1)
        self.posterior_representation_layer = Latent(width)
        self.dynamics_predictor = Dynamics(width)
        self.sequence_model = Sequence(width, action_size)
        self.reward_predictor = Reward(width, feature)
        self.continue_predictor = Decoder(width, feature, 1)


class Actor(nn.Module):
    """The actor; the percentiles are RLlib's normalisation of returns, which acting does not use."""

    def __init__(self, width: Width, feature: int, action_size: int, discrete: bool) -> None:
        super().__init__()
        self.ema_value_target_pct5 = nn.Parameter(torch.zeros(()))
        self.ema_value_target_pct95 = nn.Parameter(torch.zeros(()))
        self.mlp = Mlp(width, feature, action_size)
        if not discrete:
            self.std_mlp = Mlp(width, feature, action_size)

    def std(self, feature: Tensor) -> Tensor:
        """Return the standard deviation (N, A) of Box actions."""
        return (MAX_STD - MIN_STD) * torch.sigmoid(self.std_mlp(feature) + 2.0) + MIN_STD


class Critic(nn.Module):
    """The critic and its slow copy."""

    def __init__(self, width: Width, feature: int) -> None:
        super().__init__()
        self.mlp, self.mlp_ema = Mlp(width, feature), Mlp(width, feature)
        self.return_layer, self.return_layer_ema = Bins(width), Bins(width)


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Return z (N, S, C) drawn from probabilities with noise (N, S), rounded as RLlib's straight-through sample."""
    logits = torch.log(probabilities)
    # torch.distributions normalises logits and softmaxes them again
    normalised = torch.softmax(logits - logits.logsumexp(-1, keepdim=True), -1)
    sample = functional.one_hot(draw_classes(normalised, uniform), probabilities.shape[-1]).to(probabilities.dtype)
    return sample + probabilities - probabilities


def unimix(logits: Tensor) -> Tensor:
    """Return softmax(logits) mixed with 1 % of the uniform distribution, for logits (..., C)."""
    return (1.0 - UNIMIX) * torch.softmax(logits, -1) + UNIMIX * (1.0 / logits.shape[-1])


def symlog(x: Tensor) -> Tensor:
    """Return sign(x) ln(|x| + 1), as RLlib computes it."""
    return torch.sign(x) * torch.log(torch.abs(x) + 1)


def symexp(x: Tensor) -> Tensor:
    """Return the inverse of symlog, as RLlib computes it."""
    return torch.sign(x) * (torch.exp(torch.abs(x)) - 1)


def _feature(h: Tensor, z: Tensor) -> Tensor:
    """Return the input of the heads (N, D + S*C)."""
    return torch.cat([h, z.flatten(1)], -1)
