"""All losses of DreamerV3 for one batch: world model, imagined actor and critic, replayed critic.

Equation numbers are those of Hafner et al. 2023 (arXiv:2301.04104v2). Scales and stop-gradients are those of
danijar/dreamerv3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.loss_scales import LOSS_SCALES
from dreamer_exp.algorithms.dreamerv3.maths import categorical_kl, lambda_return, two_hot_loss, two_hot_mean
from dreamer_exp.algorithms.dreamerv3.networks.layers import Head
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature, feature_product, join
from dreamer_exp.algorithms.dreamerv3.world_model.imagination import Imagination
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State


@dataclass(frozen=True)
class LossConfig:
    """Weights and constants, by default those published.

    loss_scales has the keys of loss_scales.LOSS_SCALES. decoder_weights (O,) float32, on the agent's device, multiplies
    each element's squared error in the decoder loss; None means ones.
    """

    horizon_H: int = 15
    gamma: float = 0.997
    gae_lambda: float = 0.95
    entropy_scale: float = 3e-4
    free_nats: float = 1.0
    slow_regulariser: float = 1.0
    return_rate: float = 0.01
    train_actor: bool = True  # otherwise the actor's loss is reported, but has no gradient
    train_critic: bool = True  # the same for both critic losses
    loss_scales: Mapping[str, float] = field(default_factory=LOSS_SCALES.copy)
    decoder_weights: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """B sequences of T steps, float32.

    Attributes:
        observation: (B, T, O).
        action: (B, T, A), taken after the observation.
        previous_action: (B, A), taken before step 0.
        reward: (B, T), received with the observation.
        is_first: (B, T), 1 at an episode's first step.
        is_last: (B, T), 1 at an episode's last step.
        is_terminal: (B, T), 1 at a last step that ends the task, instead of a time limit.
        carry: replayed state before step 0 (B, ...).
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
    """Random numbers of one update: posterior (B, T, S), prior (H, B*T, S), action (H+1, B*T, noise)."""

    posterior: Tensor
    prior: Tensor
    action: Tensor


@dataclass
class ReturnRange:
    """Moving 5th and 95th percentile of the imagined returns (eq. 7), () each.

    Advantages are divided by max(1, their difference) (eq. 6). Both start at 0 and are not debiased, as published, so
    the divisor is 1 at first.
    """

    low: Tensor = field(default_factory=lambda: torch.zeros(()))
    high: Tensor = field(default_factory=lambda: torch.zeros(()))

    @torch.no_grad()
    def update(self, returns: Tensor, rate: float) -> Tensor:
        """Update both percentiles by the returns, and return the divisor of advantages ()."""
        ordered = returns.flatten().sort().values  # a CUDA graph cannot capture torch.quantile
        self.low.lerp_(_percentile(ordered, 0.05), rate)
        self.high.lerp_(_percentile(ordered, 0.95), rate)
        return (self.high - self.low).clamp(min=1.0)


def _percentile(ordered: Tensor, share: float) -> Tensor:
    """Interpolate linearly between the two neighbours, as numpy.percentile does."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], position - below)


def world_model_losses(
    agent: Agent, batch: Batch, noise: Tensor, config: LossConfig
) -> tuple[dict[str, Tensor], dict[str, Tensor], State, Tensor | Feature]:
    """Return means over B and T of the decoder, reward, continue, dynamics and representation losses (eq. 2, 3).

    Also the decoder loss with all `decoder_weights` at 1, and its shares of the observation's entries if they have
    encoders of several kinds, () each by name; the states (B, T, ...) and their features (B*T, ...).
    """
    before = torch.cat([batch.previous_action[:, None], batch.action[:, :-1]], 1)
    tokens = agent.encoder(batch.observation)
    states, posterior = agent.rssm.observe(tokens, before, batch.is_first, batch.carry, noise)
    feature = agent.rssm.feature(states)
    prior = agent.rssm.prior(states.deter)
    continues = (1.0 - batch.is_terminal).flatten() * config.gamma  # contdisc: the discount is part of the prediction
    decoder, unweighted = agent.decoder.losses(feature, batch.observation, config.decoder_weights)
    losses = {
        "decoder": decoder,
        "reward": two_hot_loss(agent.reward(feature), batch.reward.flatten(), agent.bins).mean(),
        "continue": functional.binary_cross_entropy_with_logits(agent.cont(feature)[..., 0], continues),
        "dynamics": categorical_kl(posterior.detach(), prior).clamp(min=config.free_nats).mean(),
        "representation": categorical_kl(posterior, prior.detach()).clamp(min=config.free_nats).mean(),
    }
    return losses, unweighted, states, feature


@dataclass(frozen=True)
class ImaginedStates:
    """H+1 imagined states of N rows, step after step.

    Attributes:
        features: (H+1)*N rows.
        acted: the first H*N rows of them, on which actor and critic are trained.
        last: the last N rows.
        actions: (H, N, A).
        outputs: (H, N, outputs), the actor's outputs, with gradient.
    """

    features: Tensor | Feature
    acted: Tensor | Feature
    last: Tensor | Feature
    actions: Tensor
    outputs: Tensor


def imagine(agent: Agent, start: State, noise: Noise, config: LossConfig) -> ImaginedStates:
    """Imagine H steps from the start states (N, ...), then compute the actor's outputs again with gradient."""
    features, actions, products = [], [], []
    with torch.no_grad():
        imagination = Imagination(agent.rssm, start, config.horizon_H)
        actor = _ActorInLoop(agent.actor)
        for step in range(config.horizon_H):
            features.append(imagination.feature)
            products.append(actor.first(features[-1]))
            actions.append(agent.action.sample(agent.actor.rest(products[-1]), noise.action[step]))
            imagination.step(actions[-1], noise.prior[step])
        every, acted = join([*features, imagination.feature]), join(features)
    with torch.set_grad_enabled(config.train_actor):
        outputs = agent.actor(acted, torch.cat(products)).unflatten(0, (config.horizon_H, -1))
    return ImaginedStates(every, acted, imagination.feature, torch.stack(actions), outputs)


class _ActorInLoop:
    """The actor's first layer, with its weight transposed once for all steps."""

    def __init__(self, actor: Head) -> None:
        self.layer = actor.first
        self.table = self.layer.weight.t().contiguous()

    def first(self, feature: Tensor | Feature) -> Tensor:
        if isinstance(feature, Feature):
            return feature_product(feature, self.table, self.layer.bias)
        product: Tensor = self.layer(feature)
        return product


def actor_critic_losses(
    agent: Agent, imagined: ImaginedStates, return_range: ReturnRange, config: LossConfig
) -> tuple[dict[str, Tensor], dict[str, Tensor], tuple[Tensor, Tensor]]:
    """Return actor (eq. 6, REINFORCE) and critic (eq. 5, 11) losses of imagined states, means over N and H.

    Returns:
        The losses, further figures, and for the start states the lambda returns and the slow critic's values (N,).
    """
    horizon, rows = imagined.outputs.shape[:2]
    with torch.set_grad_enabled(config.train_critic):
        logits = agent.critic(imagined.acted)  # (H*N, bins)
    with torch.no_grad():
        reward = two_hot_mean(agent.reward(imagined.features), agent.bins).unflatten(0, (-1, rows))
        continues = torch.sigmoid(agent.cont(imagined.features)[..., 0]).unflatten(0, (-1, rows))  # (H+1, N)
        slow_value = two_hot_mean(agent.slow_critic(imagined.acted), agent.bins)
        last_value = two_hot_mean(agent.critic(imagined.last), agent.bins)
        value = torch.cat([two_hot_mean(logits, agent.bins), last_value]).unflatten(0, (-1, rows))
        returns = lambda_return(
            torch.zeros_like(continues).t(),
            1.0 - continues.t(),
            reward.t(),
            value.t(),
            discount=1.0,
            gae_lambda=config.gae_lambda,
        ).t()
        weight = torch.cumprod(continues, 0)[:-1]  # the first step is weighted by its own continue probability
        scale = return_range.update(returns, config.return_rate)
        advantage = (returns - value[:-1]) / scale
    log_probability, entropy = agent.action.log_probability_and_entropy(imagined.outputs, imagined.actions)
    value_loss = _value_loss(logits, returns.flatten(), slow_value, agent, config).unflatten(0, (horizon, rows))
    losses = {
        "actor": (-weight * (log_probability * advantage + config.entropy_scale * entropy)).mean(),
        "critic": (weight * value_loss).mean(),
    }
    figures = {
        "entropy": entropy.detach().mean(),
        "return_scale": scale,
        "return_low": return_range.low.clone(),
        "return_high": return_range.high.clone(),
        "advantage": advantage.abs().mean(),
    }
    return losses, figures, (returns[0], slow_value[:rows])


def replayed_critic_loss(  # noqa: PLR0917
    agent: Agent, feature: Tensor | Feature, batch: Batch, bootstrap: Tensor, slow_value: Tensor, config: LossConfig
) -> Tensor:
    """Return the critic's loss on replayed states, mean over B and T-1; its gradient reaches the world model.

    The targets are lambda returns of the replayed rewards.

    Args:
        agent: the network.
        feature: B*T rows.
        batch: the batch.
        bootstrap: (B, T), imagined lambda returns.
        slow_value: (B, T), the slow critic's values, a second target.
        config: weights and constants.
    """
    shape = batch.reward.shape
    with torch.set_grad_enabled(config.train_critic):
        logits = agent.critic(feature).unflatten(0, shape)[:, :-1]
    returns = lambda_return(
        batch.is_last, batch.is_terminal, batch.reward, bootstrap, discount=config.gamma, gae_lambda=config.gae_lambda
    )
    weight = 1.0 - batch.is_last[:, :-1]
    return (weight * _value_loss(logits, returns, slow_value[:, :-1], agent, config)).mean()


def _value_loss(logits: Tensor, target: Tensor, slow_value: Tensor, agent: Agent, config: LossConfig) -> Tensor:
    both = two_hot_loss(logits, torch.stack([target, slow_value], -1), agent.bins)
    return both[..., 0] + config.slow_regulariser * both[..., 1]


def total_loss(
    agent: Agent, batch: Batch, noise: Noise, return_range: ReturnRange, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor], State]:
    """Return the weighted sum of the losses, each loss unweighted by its name, and the new states (B, T, ...)."""
    losses, decoder, states, feature = world_model_losses(agent, batch, noise.posterior, config)
    world_model_terms = len(losses)
    rows, steps = batch.reward.shape
    start = State(states.deter.detach().flatten(0, 1), states.stoch.detach().flatten(0, 1))
    imagined = imagine(agent, start, noise, config)
    actor_critic, figures, (first_returns, slow_value) = actor_critic_losses(agent, imagined, return_range, config)
    bootstrap, slow_value = first_returns.view(rows, steps), slow_value.view(rows, steps)
    replayed = replayed_critic_loss(agent, feature, batch, bootstrap, slow_value, config)
    losses |= actor_critic | {"critic_replay": replayed}
    weighted = torch.stack([config.loss_scales[name] * loss for name, loss in losses.items()])
    figures |= {name: loss.detach() for name, loss in losses.items()}
    figures |= {name: loss.detach() for name, loss in decoder.items()}
    figures["world_model"] = weighted[:world_model_terms].detach().sum()
    return weighted.sum(), figures, states.detach()
