"""All losses of a batch and the gradient of every parameter, without autograd: losses.total_loss and its backward."""

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.compile import run_in_threads
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.actor_critic import ActorCritic
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron, Trace
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.world_model import WorldModelHeads
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.rollout import ImaginedRollout
from dreamer_exp.algorithms.dreamerv3.backends.fused.observation.encoders import make_encoder
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.gradient import PosteriorScanGradient
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.posterior_scan import PosteriorScan
from dreamer_exp.algorithms.dreamerv3.backends.fused.streams import Streams
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, Noise, ReturnRange
from dreamer_exp.algorithms.dreamerv3.maths import symlog
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, add_product, mm
from dreamer_exp.algorithms.dreamerv3.world_model.observation import VectorEncoder
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

HEADS, ACTOR_CRITIC = 0, 1  # streams


def flat_storage(agent: Agent, precision: Precision) -> Flat:
    """Move the agent's parameters to flat storage, with the heads' first weights adjacent: they are one product."""
    heads = (agent.decoder, agent.reward, agent.cont, agent.critic)
    first = [head.first.weight for head in heads]
    placed = set(first)
    rest = [parameter for parameter in agent.parameters() if parameter.requires_grad and parameter not in placed]
    followers = zip(agent.slow_critic.parameters(), agent.critic.parameters(), strict=True)
    return Flat([*first, *rest], precision.operand, list(followers))


class Gradients:
    """Losses and gradients of an agent in flat storage, for batches of B sequences of T steps.

    Rows are time-major everywhere, t * B + b. The noise has the shapes posterior (T, B, S), prior (H, T*B, S) and
    action (H, T*B, noise).

    Args:
        agent: the network.
        flat: storage of its parameters, from `flat_storage`.
        return_range: of the imagined returns; updated by every call.
        config: weights and constants.
        precision: of matrix products.
        shape: B and T.
        programs: of the scans, for each 16 rows.
        persistent: whether each scan is one launch.
    """

    def __init__(  # noqa: PLR0917
        self,
        agent: Agent,
        flat: Flat,
        return_range: ReturnRange,
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
        self.streams = Streams(device)
        imagined = (config.horizon_H + 1, count)
        self.scan = PosteriorScan(
            rssm, flat.view, precision, rows, steps, programs, config.horizon_H * count, persistent=persistent
        )
        self.scan_gradient = PosteriorScanGradient(self.scan)
        features, deter = (buffer.unflatten(0, imagined) for buffer in self.scan.rollout_states)
        self.rollout = ImaginedRollout(agent, flat.view, precision, count, config.horizon_H, (features, deter))
        self.encoder = make_encoder(agent.encoder, flat, precision)
        self.from_action = Perceptron.of(rssm.from_action, flat.view, precision)
        self.heads = WorldModelHeads(agent, flat, config, precision, count)
        self.actor_critic = ActorCritic(agent, flat, return_range, config, precision, shape)
        # gradients of the first products of decoder, reward, continue head and critic on replayed states
        self._d_first = torch.zeros(count, 4 * size.units, dtype=precision.operand, device=device)
        self._d_critic = self._d_first[:, 3 * size.units :]
        self._heads_first = flat.joined([head.first.weight for head in self.heads.modules])
        names = (*WorldModelHeads.LOSSES, *ActorCritic.LOSSES)
        self._scales = torch.tensor([config.loss_scales[name] for name in names], device=device)

    def __call__(self, batch: Batch, noise: Noise) -> tuple[dict[str, Tensor], State]:
        """Write all gradients; return the figures, () each, and the new states (B, T, ...)."""
        streams = self.streams
        streams.mark("start")
        keep = (1.0 - batch.is_first).t().contiguous()
        observation = self._observation(batch)
        with streams.fork(HEADS):  # as the encoder's backward pass: autograd uses the stream of the forward pass
            encoding = self.encoder(observation)
        with streams.fork(ACTOR_CRITIC):
            action, units = self._embed_actions(batch, keep)
        self.scan.begin(batch.carry, keep)
        streams.join(HEADS)
        streams.join(ACTOR_CRITIC)
        self.scan.set_inputs(encoding.tokens, units.output)
        with streams.fork(ACTOR_CRITIC):
            self.rollout.prepare()
        self.scan.run(noise.posterior)
        streams.mark("posterior scan")
        feature = self.scan.feature[1:].flatten(0, 1)
        with streams.fork(HEADS):
            losses, decoder, d_feature = self._heads(batch, feature, observation)
            self.scan_gradient.precompute(encoding.tokens, units.output)
        streams.join(ACTOR_CRITIC)
        self.rollout.run(noise.prior, noise.action)
        streams.mark("imagined rollout")
        values = self.actor_critic.evaluate(self.rollout, batch, self._d_critic, streams)
        streams.mark("values of the rollout")
        with streams.fork(ACTOR_CRITIC):
            more, figures = self.actor_critic.backward(self.rollout, values)
        streams.join(HEADS)
        d_feature = add_product(d_feature, self._d_critic, self.actor_critic.critic.first.low)
        streams.mark("gradient of the features")
        self.scan_gradient.run(d_feature, self.heads.d_probabilities)
        streams.mark("backward scan")
        with streams.fork(HEADS):
            encoding.backward(self.scan_gradient.backward_posterior())
        with streams.fork(ACTOR_CRITIC):
            self.scan_gradient.backward_units()
            all_figures = self._figures(losses | more, figures | decoder)
        self.from_action.backward(units, self.scan_gradient.backward_core(), action)
        streams.join(HEADS)
        streams.join(ACTOR_CRITIC)
        streams.mark("gradients of the scan's parameters")
        return all_figures, self._states()

    def compile(self, batch: Batch, noise: Noise) -> None:
        """Launch, in parallel, the kernels that take long to compile; their inputs and results don't matter."""
        keep = (1.0 - batch.is_first).t().contiguous()
        observation = self._observation(batch)
        self.scan.begin(batch.carry, keep)
        self.scan.set_inputs(self.encoder(observation).tokens, self._embed_actions(batch, keep)[1].output)
        self.rollout.prepare()
        feature = torch.zeros_like(self.scan.feature[1:]).flatten(0, 1)

        def actor_critic() -> None:
            values = self.actor_critic.evaluate(self.rollout, batch, self._d_critic, self.streams)
            self.actor_critic.backward(self.rollout, values)

        run_in_threads(
            feature.device,
            lambda: self.scan_gradient.run(feature.float(), self.heads.d_probabilities),
            lambda: self.scan.run(noise.posterior),
            lambda: self.rollout.run(noise.prior, noise.action),
            lambda: self._heads(batch, feature, observation),
            actor_critic,
        )

    def _observation(self, batch: Batch) -> Tensor:
        """Return the observation (T*B, O) as encoder and decoder of this backend take it."""
        encoder = self.agent.encoder
        squashed = isinstance(encoder, VectorEncoder) and encoder.squash  # entries are squashed by kind
        return _time_major(symlog(batch.observation) if squashed else batch.observation)

    def _embed_actions(self, batch: Batch, keep: Tensor) -> tuple[Tensor, Trace]:
        """Return the action that led to each step (T*B, A), 0 where an episode begins, and its units."""
        previous = torch.cat([batch.previous_action[:, None], batch.action[:, :-1]], 1)
        action = _time_major(previous) * keep.view(-1, 1)
        action = (action / action.abs().clamp(min=1.0)).to(self.precision.operand)
        return action, self.from_action.forward(mm(action, self.from_action.first.low.t()))

    def _heads(
        self, batch: Batch, feature: Tensor, observation: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Return the world model's losses, the decoder's unweighted ones, and the gradient of the features (N, F).

        The critic's share of the gradient is missing.
        """
        deter, d_first = self.agent.size.deter, self._d_first[:, : 3 * self.agent.size.units]
        losses, decoder, d_prior_first = self.heads(feature, self.scan.probabilities, observation, batch, d_first)
        d_feature = mm(d_first, self._heads_first.low)
        d_feature[:, :deter] += mm(d_prior_first, self.heads.prior.first.low)
        return losses, decoder, d_feature

    def _figures(self, losses: dict[str, Tensor], figures: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the figures by the names of losses.total_loss; `figures` override losses of the same name."""
        weighted = torch.stack(list(losses.values())) * self._scales
        world_model = weighted[: len(WorldModelHeads.LOSSES)].sum()
        return {"total": weighted.sum()} | losses | figures | {"world_model": world_model}

    def _states(self) -> State:
        deter = self.scan.deter[1:].transpose(0, 1)
        return State(deter, self.scan.feature[1:, :, self.agent.size.deter :].transpose(0, 1))


def _time_major(x: Tensor) -> Tensor:
    """Return (B, T, ...) as (T*B, ...)."""
    return x.transpose(0, 1).flatten(0, 1)
