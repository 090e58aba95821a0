"""Every loss of DreamerV3 for one batch: world model, imagined actor and critic, replayed critic.

Equation numbers are those of Hafner et al., arXiv 2301.04104v2; scales and stop-gradients as in danijar/dreamerv3.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.dreamer.fast.agent import Agent
from dreamer_exp.dreamer.fast.maths import categorical_kl, lambda_return, two_hot_loss, two_hot_mean
from dreamer_exp.dreamer.fast.rssm import State


@dataclass(frozen=True)
class LossConfig:
    """Weights and constants as published."""

    horizon_H: int = 15
    gamma: float = 0.997
    gae_lambda: float = 0.95
    entropy_scale: float = 3e-4
    free_nats: float = 1.0
    dynamics_scale: float = 1.0
    representation_scale: float = 0.1
    replay_value_scale: float = 0.3
    slow_regulariser: float = 1.0
    return_rate: float = 0.01


@dataclass(frozen=True)
class Batch:
    """B sequences of T steps; step t's reward, last and terminal came with observation t, its action came after it.

    observation (B, T, O), action (B, T, A), previous_action (B, A) before step 0, reward, is_first, is_last,
    is_terminal (B, T) float32, and the replayed state before step 0.
    """

    observation: Tensor
    action: Tensor
    previous_action: Tensor
    reward: Tensor
    is_first: Tensor
    is_last: Tensor
    is_terminal: Tensor
    carry: State


@dataclass(frozen=True)
class Noise:
    """All random numbers of one update: posterior (B, T, S), prior (H, B*T, S), action (H+1, B*T, noise)."""

    posterior: Tensor
    prior: Tensor
    action: Tensor


@dataclass
class ReturnRange:
    """Moving 5th and 95th percentile of the imagined returns; max(1, their distance) divides advantages (eq. 11, 12).

    Both start at 0 and are not debiased, as published: early on, the divisor is 1.
    """

    low: Tensor = field(default_factory=lambda: torch.zeros(()))
    high: Tensor = field(default_factory=lambda: torch.zeros(()))

    @torch.no_grad()
    def update(self, returns: Tensor, rate: float) -> Tensor:
        """Takes the returns in and gives the divisor ()."""
        ordered = returns.flatten().sort().values  # not torch.quantile, which a CUDA graph cannot hold
        self.low.lerp_(_percentile(ordered, 0.05), rate)
        self.high.lerp_(_percentile(ordered, 0.95), rate)
        return (self.high - self.low).clamp(min=1.0)


def _percentile(ordered: Tensor, share: float) -> Tensor:
    """Linear interpolation between the two neighbours, as numpy.percentile does."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], position - below)


def world_model_losses(
    agent: Agent, batch: Batch, noise: Tensor, config: LossConfig
) -> tuple[dict[str, Tensor], State]:
    """Means over B and T of the decoder, reward, continue, dynamics and representation losses (eq. 4, 5), and the
    states (B, T, ...)."""
    before = torch.cat([batch.previous_action[:, None], batch.action[:, :-1]], 1)
    squashed = agent.squash(batch.observation)
    states, posterior = agent.rssm.observe(agent.encoder(squashed), before, batch.is_first, batch.carry, noise)
    feature = states.feature
    prior = agent.rssm.prior(states.deter)
    proceeds = (1.0 - batch.is_terminal) * config.gamma  # contdisc: the discount is part of what is predicted
    losses = {
        "decoder": ((agent.decoder(feature) - squashed) ** 2).sum(-1).mean(),
        "reward": two_hot_loss(agent.reward(feature), batch.reward, agent.bins).mean(),
        "continue": functional.binary_cross_entropy_with_logits(agent.cont(feature)[..., 0], proceeds),
        "dynamics": categorical_kl(posterior.detach(), prior).clamp(min=config.free_nats).mean(),
        "representation": categorical_kl(posterior, prior.detach()).clamp(min=config.free_nats).mean(),
    }
    return losses, states


@torch.no_grad()
def imagine(agent: Agent, start: State, noise: Noise, config: LossConfig) -> tuple[Tensor, Tensor]:
    """Features (N, H+1, ...) from the start states (N, ...) on, and the actions (N, H+1, A) taken in them."""
    state, features, actions = start, [], []
    for step in range(config.horizon_H + 1):
        features.append(state.feature)
        actions.append(agent.action.sample(agent.actor(features[-1]), noise.action[step]))
        if step < config.horizon_H:
            state = agent.rssm.imagine_step(state, actions[-1], noise.prior[step])
    return torch.stack(features, 1), torch.stack(actions, 1)


def behaviour_losses(
    agent: Agent, features: Tensor, actions: Tensor, returns_seen: ReturnRange, config: LossConfig
) -> tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]:
    """Actor (eq. 11, REINFORCE) and critic (eq. 7, 10) losses on imagined features (N, H+1, ...), means over N and H.

    Returns the losses, the lambda returns (N, H) and figures for the log.
    """
    with torch.no_grad():
        reward = two_hot_mean(agent.reward(features), agent.bins)
        proceeds = torch.sigmoid(agent.cont(features)[..., 0])
        slow_value = two_hot_mean(agent.slow_critic(features), agent.bins)
    critic_logits = agent.critic(features)
    value = two_hot_mean(critic_logits, agent.bins).detach()
    returns = lambda_return(
        torch.zeros_like(proceeds), 1.0 - proceeds, reward, value, discount=1.0, gae_lambda=config.gae_lambda
    )
    weight = torch.cumprod(proceeds, 1)[:, :-1]  # the first step counts with its own chance of going on
    scale = returns_seen.update(returns, config.return_rate)
    advantage = (returns - value[:, :-1]) / scale
    output = agent.actor(features)[:, :-1]
    entropy = agent.action.entropy(output)
    log_probability = agent.action.log_probability(output, actions[:, :-1])
    losses = {
        "actor": (-weight * (log_probability * advantage + config.entropy_scale * entropy)).mean(),
        "critic": (weight * _value_loss(critic_logits[:, :-1], returns, slow_value[:, :-1], agent, config)).mean(),
    }
    figures = {"entropy": entropy.mean(), "return_scale": scale, "advantage": advantage.abs().mean()}
    return losses, returns, {name: figure.detach() for name, figure in figures.items()}


def replay_value_loss(agent: Agent, states: State, batch: Batch, bootstrap: Tensor, config: LossConfig) -> Tensor:
    """The critic's loss on replayed states (B, T, ...), lambda returns of real rewards with the imagined returns
    (B, T) as bootstrap; its gradient reaches the world model. Mean over B and T-1."""
    feature = states.feature
    logits = agent.critic(feature)
    with torch.no_grad():
        slow_value = two_hot_mean(agent.slow_critic(feature), agent.bins)
    returns = lambda_return(
        batch.is_last, batch.is_terminal, batch.reward, bootstrap, discount=config.gamma, gae_lambda=config.gae_lambda
    )
    weight = 1.0 - batch.is_last[:, :-1]
    return (weight * _value_loss(logits[:, :-1], returns, slow_value[:, :-1], agent, config)).mean()


def _value_loss(logits: Tensor, target: Tensor, slow_value: Tensor, agent: Agent, config: LossConfig) -> Tensor:
    to_target = two_hot_loss(logits, target.detach(), agent.bins)
    return to_target + config.slow_regulariser * two_hot_loss(logits, slow_value, agent.bins)


def total_loss(
    agent: Agent, batch: Batch, noise: Noise, returns_seen: ReturnRange, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor], State]:
    """The sum that is optimised, every loss by name, and the new states (B, T, ...) for the replay."""
    losses, states = world_model_losses(agent, batch, noise.posterior, config)
    rows, steps = batch.reward.shape
    start = State(states.deter.detach().flatten(0, 1), states.stoch.detach().flatten(0, 1))
    features, actions = imagine(agent, start, noise, config)
    behaviour, returns, figures = behaviour_losses(agent, features, actions, returns_seen, config)
    bootstrap = returns[:, 0].reshape(rows, steps)
    losses |= behaviour | {"replay_critic": replay_value_loss(agent, states, batch, bootstrap, config)}
    scales = {
        "dynamics": config.dynamics_scale,
        "representation": config.representation_scale,
        "replay_critic": config.replay_value_scale,
    }
    total = torch.stack([scales.get(name, 1.0) * loss for name, loss in losses.items()]).sum()
    return total, {name: loss.detach() for name, loss in losses.items()} | figures, states.detach()
