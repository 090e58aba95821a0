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
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.rollout import ImaginedRollout
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.backends.fused.streams import Streams
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm

SLOW = 1  # stream of the slow critic


@dataclass(frozen=True)
class ImaginedValues:
    """Values of H+1 imagined states of N rows.

    Attributes:
        critic: the critic's trace of the first H.
        value: (H+1, N), the critic's values.
        slow_value: (H*N,), the slow critic's values of the first H.
        returns: (H, N), lambda returns.
        weight: (H, N), probability that the rollout is still within its episode.
        replay_loss: (), the critic's loss on the replayed states.
    """

    critic: Trace
    value: Tensor
    slow_value: Tensor
    returns: Tensor
    weight: Tensor
    replay_loss: Tensor


class ActorCritic:
    """losses.actor_critic_losses and replayed_critic_loss for N = T*B start states, and their gradients."""

    LOSSES: ClassVar = ("actor", "critic", "critic_replay")

    def __init__(  # noqa: PLR0917
        self,
        agent: Agent,
        flat: Flat,
        return_range: ReturnRange,
        config: LossConfig,
        precision: Precision,
        shape: tuple[int, int],
    ) -> None:
        self.agent, self.return_range, self.config, self.shape = agent, return_range, config, shape
        self.reward, self.cont, self.actor, self.critic, self.slow = (
            Perceptron.of(head, flat.view, precision)
            for head in (agent.reward, agent.cont, agent.actor, agent.critic, agent.slow_critic)
        )
        self._first = flat.joined([head.first.weight for head in (agent.reward, agent.cont, agent.critic)])
        rows, steps = shape
        imagined, device, operand = config.horizon_H * rows * steps, agent.bins.device, precision.operand
        self._d_actor = aligned(imagined, agent.action.outputs, operand, device)
        self._d_critic = aligned(imagined, len(agent.bins), operand, device)
        self._d_replayed = aligned(rows * steps, len(agent.bins), operand, device)
        self._replayed = torch.zeros(steps, rows, device=device)  # returns; the last step has none
        self._replay_weight = torch.zeros(steps, rows, device=device)

    def evaluate(self, rollout: ImaginedRollout, batch: Batch, d_first: Tensor, streams: Streams) -> ImaginedValues:
        """Return the values of the imagined states, and the critic's loss on the replayed ones, their first N.

        Args:
            rollout: after its run.
            batch: the batch.
            d_first: (N, U), written: gradient of the critic's first product on replayed states.
            streams: one of them runs the slow critic.
        """
        agent = self.agent
        horizon, rows = rollout.actions.shape[:2]
        features = rollout.features.flatten(0, 1)
        with streams.fork(SLOW):
            slow = self.slow.forward(mm(features[: horizon * rows], self.slow.first.low.t()))
            slow_value = two_hot_mean(slow.output, self.slow.bias, agent.bins)
        reward, cont, critic = (
            head.forward(columns)
            for head, columns in zip(
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
        streams.join(SLOW)
        critic = critic.rows(horizon * rows)
        loss = self._replay(critic.rows(rows), batch, returns[0], slow_value[:rows], d_first)
        return ImaginedValues(critic, value, slow_value, returns, weight, loss)

    def backward(self, rollout: ImaginedRollout, values: ImaginedValues) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Write the gradients of actor and critic; return losses and figures by name."""
        agent, config, returns = self.agent, self.config, values.returns
        features = rollout.features[:-1].flatten(0, 1)
        critic_loss = self._critic(values, features)
        scale = self.return_range.update(returns, config.return_rate)
        advantage = (returns - values.value[:-1]) / scale
        actor = self.actor.forward(rollout.actor_first.flatten(0, 1))
        loss, entropy = actor_gradient(
            agent.action, actor.output, self.actor.bias, rollout.actions.flatten(0, 1), advantage.view(-1),
            values.weight.view(-1), config.entropy_scale, config.loss_scales["actor"], self._d_actor,
        )  # fmt: skip
        self.actor.backward(actor, self._d_actor, features)
        figures = {
            "entropy": entropy.mean(),
            "return_scale": scale,
            "return_low": self.return_range.low.clone(),
            "return_high": self.return_range.high.clone(),
            "advantage": advantage.abs().mean(),
        }
        losses = (loss.mean(), critic_loss, values.replay_loss)
        return dict(zip(self.LOSSES, losses, strict=True)), figures

    def _replay(self, critic: Trace, batch: Batch, bootstrap: Tensor, slow_value: Tensor, d_first: Tensor) -> Tensor:
        """Return the loss on replayed states; write the gradient of the logits to _d_replayed, and d_first."""
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
        self.critic.backward_to_input(critic, self._d_replayed, d_first)
        total = losses[:, 0] + config.slow_regulariser * losses[:, 1]
        return (self._replay_weight.view(-1) * total).sum() / (rows * (steps - 1))

    def _critic(self, values: ImaginedValues, features: Tensor) -> Tensor:
        """Return the loss on imagined states, and write the critic's gradient of both losses.

        The replayed states are the first rows of the imagined ones.
        """
        config, rows, weight = self.config, len(features), values.weight.view(-1)
        share = config.loss_scales["critic"] / rows
        losses = two_hot_loss(
            values.critic.output, self.critic.bias, self.agent.bins, [values.returns.view(-1), values.slow_value],
            [share, share * config.slow_regulariser], weight, self._d_critic,
        )  # fmt: skip
        self._d_critic[: len(self._d_replayed)] += self._d_replayed
        self.critic.backward(values.critic, self._d_critic, features)
        total = losses[:, 0] + config.slow_regulariser * losses[:, 1]
        return (weight * total).mean()
