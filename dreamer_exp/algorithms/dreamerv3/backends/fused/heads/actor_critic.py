"""Actor and critic: losses and gradients on imagined states, and the critic's on replayed ones."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron, Trace, aligned
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.policy_gradient import actor_gradient
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.two_hot import two_hot_loss, two_hot_mean
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.returns import imagined_returns, replayed_returns
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.rollout import Dream
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.backends.fused.streams import Streams
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm

SLOW = 1  # lane of the slow critic


@dataclass(frozen=True)
class Valued:
    """Of H+1 imagined states of N rows: the critic's trace of H, its values (H+1, N), the slow critic's (H*N,), returns
    and weights (H, N); and the critic's loss () on the replayed states."""

    critic: Trace
    value: Tensor
    slow_value: Tensor
    returns: Tensor
    weight: Tensor
    replay_loss: Tensor


class Behaviour:
    """losses.behaviour_losses and replay_value_loss, of N = T*B start states, and the gradients of actor and critic."""

    LOSSES: ClassVar = ("actor", "critic", "critic_replay")

    def __init__(  # noqa: PLR0917
        self,
        agent: Agent,
        flat: Flat,
        returns: ReturnRange,
        config: LossConfig,
        precision: Precision,
        shape: tuple[int, int],
    ) -> None:
        self.agent, self.returns, self.config, self.shape = agent, returns, config, shape
        self.reward, self.cont, self.actor, self.critic, self.slow = (
            Perceptron.of(head, flat.leaf, precision)
            for head in (agent.reward, agent.cont, agent.actor, agent.critic, agent.slow_critic)
        )
        self._first = flat.joined([head.first.weight for head in (agent.reward, agent.cont, agent.critic)])
        rows, steps = shape
        imagined, device, operand = config.horizon_H * rows * steps, agent.bins.device, precision.operand
        self._d_actor = aligned(imagined, agent.action.outputs, operand, device)
        self._d_critic = aligned(imagined, len(agent.bins), operand, device)
        self._d_replayed = aligned(rows * steps, len(agent.bins), operand, device)
        self._replayed = torch.zeros(steps, rows, device=device)  # returns, but for the last step
        self._replay_weight = torch.zeros(steps, rows, device=device)

    def value(self, dream: Dream, batch: Batch, d_first: Tensor, lanes: Streams) -> Valued:
        """What the imagined states are worth, and the critic's loss on the replayed ones, which they begin with.

        d_first (N, U) takes the gradient of the critic's first product of the replay; a lane is for the slow critic.
        """
        agent = self.agent
        horizon, rows = dream.actions.shape[:2]
        features = dream.features.flatten(0, 1)
        with lanes.beside(SLOW):
            slow = self.slow.run(mm(features[: horizon * rows], self.slow.first.low.t()))
            slow_value = two_hot_mean(slow.output, self.slow.bias, agent.bins)
        reward, cont, critic = (
            head.run(part)
            for head, part in zip(
                (self.reward, self.cont, self.critic),
                mm(features, self._first.low.t()).split(agent.size.units, 1),
                strict=True,
            )
        )
        value = two_hot_mean(critic.output, self.critic.bias, agent.bins).view(-1, rows)
        returns, weight = imagined_returns(
            two_hot_mean(reward.output, self.reward.bias, agent.bins).view(-1, rows), cont.output, self.cont.bias,
            value, self.config.gae_lambda,
        )  # fmt: skip
        lanes.join(SLOW)
        critic = critic.rows(horizon * rows)
        loss = self._replay(critic.rows(rows), batch, returns[0], slow_value[:rows], d_first)
        return Valued(critic, value, slow_value, returns, weight, loss)

    def learn(self, dream: Dream, valued: Valued) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Losses and figures by name; writes the gradients of actor and critic."""
        agent, config, returns = self.agent, self.config, valued.returns
        taught = dream.features[:-1].flatten(0, 1)
        critic_loss = self._critic(valued, taught)
        scale = self.returns.update(returns, config.return_rate)
        advantage = (returns - valued.value[:-1]) / scale
        actor = self.actor.run(dream.actor_first.flatten(0, 1))
        loss, entropy = actor_gradient(
            agent.action, actor.output, self.actor.bias, dream.actions.flatten(0, 1), advantage.view(-1),
            valued.weight.view(-1), config.entropy_scale, config.loss_scales["actor"], self._d_actor,
        )  # fmt: skip
        self.actor.learn(actor, self._d_actor, taught)
        figures = {
            "entropy": entropy.mean(),
            "return_scale": scale,
            "return_low": self.returns.low.clone(),
            "return_high": self.returns.high.clone(),
            "advantage": advantage.abs().mean(),
        }
        losses = (loss.mean(), critic_loss, valued.replay_loss)
        return dict(zip(self.LOSSES, losses, strict=True)), figures

    def _replay(self, critic: Trace, batch: Batch, bootstrap: Tensor, slow_value: Tensor, d_first: Tensor) -> Tensor:
        """The loss on replayed states; leaves the logits' gradient in _d_replayed, that of the product in d_first."""
        config, (rows, steps) = self.config, self.shape
        replayed_returns(
            batch.is_last, batch.is_terminal, batch.reward, bootstrap.view(steps, rows).t(), config.gamma,
            config.gae_lambda, out=self._replayed[:-1].t(),
        )  # fmt: skip
        torch.sub(1.0, batch.is_last.t()[:-1], out=self._replay_weight[:-1])
        share = config.loss_scales["critic_replay"] / (rows * (steps - 1))
        losses = two_hot_loss(
            critic.output, self.critic.bias, self.agent.bins, [self._replayed.view(-1), slow_value],
            [share, share * config.slow_regulariser], self._replay_weight.view(-1), self._d_replayed,
        )  # fmt: skip
        self.critic.pull(critic, self._d_replayed, d_first)
        total = losses[:, 0] + config.slow_regulariser * losses[:, 1]
        return (self._replay_weight.view(-1) * total).sum() / (rows * (steps - 1))

    def _critic(self, valued: Valued, taught: Tensor) -> Tensor:
        """The loss on imagined states; the critic learns from both losses, whose first rows are the same states."""
        config, rows, weight = self.config, len(taught), valued.weight.view(-1)
        share = config.loss_scales["critic"] / rows
        losses = two_hot_loss(
            valued.critic.output, self.critic.bias, self.agent.bins, [valued.returns.view(-1), valued.slow_value],
            [share, share * config.slow_regulariser], weight, self._d_critic,
        )  # fmt: skip
        self._d_critic[: len(self._d_replayed)] += self._d_replayed
        self.critic.learn(valued.critic, self._d_critic, taught)
        total = losses[:, 0] + config.slow_regulariser * losses[:, 1]
        return (weight * total).mean()
