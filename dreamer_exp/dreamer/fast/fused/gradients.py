"""Every loss of a batch and the gradient of every parameter (losses.total_loss and its backward), without autograd."""

from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn

from dreamer_exp.dreamer.fast.agent import Agent
from dreamer_exp.dreamer.fast.fused.behaviour import Behaviour
from dreamer_exp.dreamer.fast.fused.dream import Dream
from dreamer_exp.dreamer.fast.fused.filter import Filter
from dreamer_exp.dreamer.fast.fused.filter_gradient import FilterGradient
from dreamer_exp.dreamer.fast.fused.flat import Flat
from dreamer_exp.dreamer.fast.fused.lanes import Lanes
from dreamer_exp.dreamer.fast.fused.perceptron import Perceptron, Trace
from dreamer_exp.dreamer.fast.fused.world_model import WorldModelHeads
from dreamer_exp.dreamer.fast.losses import Batch, LossConfig, Noise, ReturnRange
from dreamer_exp.dreamer.fast.maths import symlog
from dreamer_exp.dreamer.fast.products import Precision, mm
from dreamer_exp.dreamer.fast.rssm import State

HEADS, BEHAVIOUR = 0, 1  # lanes


def stored(agent: Agent, precision: Precision) -> Flat:
    """Flat storage of the agent's parameters, the heads' first weights side by side, so that they make one product."""
    heads = (agent.decoder, agent.reward, agent.cont, agent.critic)
    first = [head.first.weight for head in heads]
    taken = set(first)
    rest = [parameter for parameter in agent.parameters() if parameter.requires_grad and parameter not in taken]
    followers = zip(agent.slow_critic.parameters(), agent.critic.parameters(), strict=True)
    return Flat([*first, *rest], precision.operand, list(followers))


@dataclass(frozen=True)
class _Read:
    """What the filter reads, in rows of T*B: the observation squashed (N, O), float32 and as operand, and its encoding;
    the action that led there, 0 where an episode begins (N, A), and its units; and keep (T, B), which is 0 there."""

    target: Tensor
    observation: Tensor
    tokens: Trace
    action: Tensor
    units: Trace
    keep: Tensor


class Gradients:
    """Writes the gradients of an agent in flat storage, for batches of B sequences of T steps.

    All its rows are time-major, t * B + b; noise is that of `draw`: posterior (T, B, S), prior (H, T*B, S), action
    (H, T*B, noise).
    """

    def __init__(  # noqa: PLR0917
        self,
        agent: Agent,
        flat: Flat,
        returns: ReturnRange,
        config: LossConfig,
        precision: Precision,
        shape: tuple[int, int],
        programs: int = 32,
        *,
        persistent: bool,
    ) -> None:
        rows, steps = shape
        self.agent, self.config, self.precision, self.shape = agent, config, precision, shape
        count, size, rssm = rows * steps, agent.size, agent.rssm
        device = agent.bins.device
        self.lanes = Lanes(device)
        self.filter = Filter(rssm, flat.leaf, precision, rows, steps, programs, persistent=persistent)
        self.filter_gradient = FilterGradient(self.filter)
        self.dream = Dream(agent, flat.leaf, precision, count, config.horizon_H)
        self.encoder = Perceptron.of(agent.encoder, flat.leaf, precision)
        self.from_action = Perceptron.of(rssm.from_action, flat.leaf, precision)
        self.heads = WorldModelHeads(agent, flat, config, precision, count)
        self.behaviour = Behaviour(agent, flat, returns, config, precision, shape)
        self._d_first = torch.zeros(count, 4 * size.units, dtype=precision.operand, device=device)
        self._first_weights = flat.joined([head.first.weight for head in (*self.heads.modules, agent.critic)])
        scales = {
            "dynamics": config.dynamics_scale,
            "representation": config.representation_scale,
            "replay_critic": config.replay_value_scale,
        }
        names = (*WorldModelHeads.LOSSES, *Behaviour.LOSSES)
        self._scales = torch.tensor([scales.get(name, 1.0) for name in names], device=device)
        self._encoder_weight = flat.leaf(first_weight(agent.encoder))
        self._action_weight = flat.leaf(first_weight(rssm.from_action))
        self._prior_weight = flat.leaf(first_weight(rssm.prior_net))

    def __call__(self, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], State]:
        """The figures, each (), and the new states (B, T, ...)."""
        size, lanes = self.agent.size, self.lanes
        lanes.mark("start")
        read = self._read(batch)
        self.filter.prepare()
        self.filter.run(read.tokens.output, read.units.output, batch.carry, read.keep, noise.posterior)
        feature = self.filter.feature[1:].flatten(0, 1)
        lanes.mark("filter")
        with lanes.beside(HEADS):
            losses, d_deter, d_probabilities = self.heads(
                feature, self.filter.probabilities, read.target, batch, self._d_first[:, : 3 * size.units]
            )
            self.filter_gradient.know()
        self.dream.prepare()
        self.dream.features[0].copy_(feature)
        self.dream.deter[0].copy_(self.filter.deter[1:].flatten(0, 1))
        self.dream.run(noise.prior, noise.action)
        lanes.mark("imagination")
        valued = self.behaviour.value(self.dream, batch, self._d_first[:, 3 * size.units :])
        lanes.mark("values of what was imagined")
        with lanes.beside(BEHAVIOUR):
            more, figures = self.behaviour.learn(self.dream, valued)
        lanes.join(HEADS)
        d_feature = mm(self._d_first, self._first_weights.low)
        d_feature[:, : size.deter] += mm(d_deter, self._prior_weight.low)
        lanes.mark("gradient of the features, and the heads' rest")
        self.filter_gradient.run(d_feature, d_probabilities)
        lanes.mark("filter's gradient")
        d_tokens, d_units = self.filter_gradient.learn(read.tokens.output, read.units.output)
        self.encoder.learn(read.tokens, d_tokens, read.observation)
        self.from_action.learn(read.units, d_units, read.action)
        lanes.mark("gradients of the filter's parameters")
        lanes.join(BEHAVIOUR)
        lanes.mark("actor's and critic's rest")
        return self._figures(losses | more, figures), self._states()

    def _read(self, batch: Batch) -> _Read:
        target = _by_time(symlog(batch.observation) if self.agent.encoder.squash else batch.observation)
        observation = target.to(self.precision.operand)
        keep = (1.0 - batch.is_first).t().contiguous()
        before = torch.cat([batch.previous_action[:, None], batch.action[:, :-1]], 1)
        action = _by_time(before) * keep.view(-1, 1)
        action = (action / action.abs().clamp(min=1.0)).to(self.precision.operand)
        return _Read(
            target=target,
            observation=observation,
            tokens=self.encoder.run(mm(observation, self._encoder_weight.low.t())),
            action=action,
            units=self.from_action.run(mm(action, self._action_weight.low.t())),
            keep=keep,
        )

    def _figures(self, losses: dict[str, Tensor], figures: dict[str, Tensor]) -> dict[str, Tensor]:
        """As losses.total_loss names them."""
        weighted = torch.stack(list(losses.values())) * self._scales
        world_model = weighted[: len(WorldModelHeads.LOSSES)].sum()
        return {"total": weighted.sum()} | figures | losses | {"world_model": world_model}

    def _states(self) -> State:
        deter = self.filter.deter[1:].transpose(0, 1)
        return State(deter, self.filter.feature[1:, :, self.agent.size.deter :].transpose(0, 1))


def first_weight(mlp: nn.Sequential) -> nn.Parameter:
    """Of the first layer."""
    return next(iter(chain(mlp.parameters())))


def _by_time(x: Tensor) -> Tensor:
    """(B, T, ...) -> (T*B, ...)."""
    return x.transpose(0, 1).flatten(0, 1)
