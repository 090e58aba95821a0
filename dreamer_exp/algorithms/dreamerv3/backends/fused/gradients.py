"""Every loss of a batch and the gradient of every parameter (losses.total_loss and its backward), without autograd."""

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.compile import at_once
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.actor_critic import Behaviour
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron, Trace
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.world_model import WorldModelHeads
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.rollout import Dream
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.gradient import PosteriorScanGradient
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.posterior_scan import PosteriorScan
from dreamer_exp.algorithms.dreamerv3.backends.fused.streams import Streams
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, Noise, ReturnRange
from dreamer_exp.algorithms.dreamerv3.maths import symlog
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, add_product, mm
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

HEADS, BEHAVIOUR = 0, 1  # lanes


def stored(agent: Agent, precision: Precision) -> Flat:
    """Flat storage of the agent's parameters, the heads' first weights side by side, so that they make one product."""
    heads = (agent.decoder, agent.reward, agent.cont, agent.critic)
    first = [head.first.weight for head in heads]
    taken = set(first)
    rest = [parameter for parameter in agent.parameters() if parameter.requires_grad and parameter not in taken]
    followers = zip(agent.slow_critic.parameters(), agent.critic.parameters(), strict=True)
    return Flat([*first, *rest], precision.operand, list(followers))


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
        self.lanes = Streams(device)
        imagined = (config.horizon_H + 1, count)
        self.filter = PosteriorScan(
            rssm, flat.leaf, precision, rows, steps, programs, beyond=config.horizon_H * count, persistent=persistent
        )
        self.filter_gradient = PosteriorScanGradient(self.filter)
        features, deter = (buffer.unflatten(0, imagined) for buffer in self.filter.onward)
        self.dream = Dream(agent, flat.leaf, precision, count, config.horizon_H, (features, deter))
        self.encoder = Perceptron.of(agent.encoder, flat.leaf, precision)
        self.from_action = Perceptron.of(rssm.from_action, flat.leaf, precision)
        self.heads = WorldModelHeads(agent, flat, config, precision, count)
        self.behaviour = Behaviour(agent, flat, returns, config, precision, shape)
        self._d_first = torch.zeros(count, 4 * size.units, dtype=precision.operand, device=device)
        self._d_critic = self._d_first[:, 3 * size.units :]
        self._heads_first = flat.joined([head.first.weight for head in self.heads.modules])
        names = (*WorldModelHeads.LOSSES, *Behaviour.LOSSES)
        self._scales = torch.tensor([config.loss_scales[name] for name in names], device=device)

    def __call__(self, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], State]:
        """The figures, each (), and the new states (B, T, ...)."""
        lanes = self.lanes
        lanes.mark("start")
        keep = (1.0 - batch.is_first).t().contiguous()
        with lanes.beside(HEADS):
            self.filter.begin(batch.carry, keep)
        with lanes.beside(BEHAVIOUR):
            action, units = self._act(batch, keep)
        target, observation, tokens = self._see(batch)
        lanes.join(HEADS)
        lanes.join(BEHAVIOUR)
        self.filter.read(tokens.output, units.output)
        with lanes.beside(BEHAVIOUR):
            self.dream.prepare()
        self.filter.run(noise.posterior)
        lanes.mark("filter")
        feature = self.filter.feature[1:].flatten(0, 1)
        with lanes.beside(HEADS):
            losses, decoder, d_feature = self._heads(batch, feature, target)
            self.filter_gradient.know(tokens.output, units.output)
        lanes.join(BEHAVIOUR)
        self.dream.run(noise.prior, noise.action)
        lanes.mark("imagination")
        valued = self.behaviour.value(self.dream, batch, self._d_critic, lanes)
        lanes.mark("values of what was imagined")
        with lanes.beside(BEHAVIOUR):
            more, figures = self.behaviour.learn(self.dream, valued)
        lanes.join(HEADS)
        d_feature = add_product(d_feature, self._d_critic, self.behaviour.critic.first.low)
        lanes.mark("gradient of the features")
        self.filter_gradient.run(d_feature, self.heads.d_probabilities)
        lanes.mark("filter's gradient")
        with lanes.beside(HEADS):
            self.encoder.learn(tokens, self.filter_gradient.learn_posterior(), observation)
        with lanes.beside(BEHAVIOUR):
            self.filter_gradient.learn_units()
            found = self._figures(losses | more, figures | {"decoder": decoder})
        self.from_action.learn(units, self.filter_gradient.learn_core(), action)
        lanes.join(HEADS)
        lanes.join(BEHAVIOUR)
        lanes.mark("gradients of the filter's parameters")
        return found, self._states()

    def compile(self, batch: Batch, noise: Noise) -> None:
        """Launches what takes long to compile, all at once, on whatever its buffers hold; nothing comes of it."""
        keep = (1.0 - batch.is_first).t().contiguous()
        target, _, tokens = self._see(batch)
        self.filter.begin(batch.carry, keep)
        self.filter.read(tokens.output, self._act(batch, keep)[1].output)
        self.dream.prepare()
        feature = torch.zeros_like(self.filter.feature[1:]).flatten(0, 1)

        def behave() -> None:
            valued = self.behaviour.value(self.dream, batch, self._d_critic, self.lanes)
            self.behaviour.learn(self.dream, valued)

        at_once(
            feature.device,
            lambda: self.filter_gradient.run(feature.float(), self.heads.d_probabilities),
            lambda: self.filter.run(noise.posterior),
            lambda: self.dream.run(noise.prior, noise.action),
            lambda: self._heads(batch, feature, target),
            behave,
        )

    def _see(self, batch: Batch) -> tuple[Tensor, Tensor, Trace]:
        """In rows of T*B: the observation squashed (N, O), float32 and as operand, and its encoding."""
        target = _by_time(symlog(batch.observation) if self.agent.encoder.squash else batch.observation)
        observation = target.to(self.precision.operand)
        return target, observation, self.encoder.run(mm(observation, self.encoder.first.low.t()))

    def _act(self, batch: Batch, keep: Tensor) -> tuple[Tensor, Trace]:
        """In rows of T*B: the action that led there (N, A), 0 where an episode begins, and its units."""
        before = torch.cat([batch.previous_action[:, None], batch.action[:, :-1]], 1)
        action = _by_time(before) * keep.view(-1, 1)
        action = (action / action.abs().clamp(min=1.0)).to(self.precision.operand)
        return action, self.from_action.run(mm(action, self.from_action.first.low.t()))

    def _heads(self, batch: Batch, feature: Tensor, target: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the world model's losses, the unweighted decoder loss () and the gradient of the features (N, F).

        The critic's share of the gradient is missing.
        """
        deter, d_first = self.agent.size.deter, self._d_first[:, : 3 * self.agent.size.units]
        losses, decoder, d_deter = self.heads(feature, self.filter.probabilities, target, batch, d_first)
        d_feature = mm(d_first, self._heads_first.low)
        d_feature[:, :deter] += mm(d_deter, self.heads.prior.first.low)
        return losses, decoder, d_feature

    def _figures(self, losses: dict[str, Tensor], figures: dict[str, Tensor]) -> dict[str, Tensor]:
        """As losses.total_loss names them."""
        weighted = torch.stack(list(losses.values())) * self._scales
        world_model = weighted[: len(WorldModelHeads.LOSSES)].sum()
        return {"total": weighted.sum()} | losses | figures | {"world_model": world_model}

    def _states(self) -> State:
        deter = self.filter.deter[1:].transpose(0, 1)
        return State(deter, self.filter.feature[1:, :, self.agent.size.deter :].transpose(0, 1))


def _by_time(x: Tensor) -> Tensor:
    """(B, T, ...) -> (T*B, ...)."""
    return x.transpose(0, 1).flatten(0, 1)
