"""The world model's heads on replayed states: decoder, reward, continue and prior, their losses and gradients."""

from typing import ClassVar

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.divergence import divergence
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron, aligned
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.regression import continue_loss, squared_error
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.two_hot import two_hot_loss
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm


class WorldModelHeads:
    """losses.world_model_losses but for the filter, of N = T*B rows, and the gradients of its heads."""

    LOSSES: ClassVar = ("decoder", "reward", "continue", "dynamics", "representation")

    def __init__(self, agent: Agent, flat: Flat, config: LossConfig, precision: Precision, rows: int) -> None:
        self.modules = (agent.decoder, agent.reward, agent.cont)
        self.decoder, self.reward, self.cont = (Perceptron.of(head, flat.leaf, precision) for head in self.modules)
        self.prior = Perceptron.of(agent.rssm.prior_net, flat.leaf, precision)
        self.size, self.bins, self.config = agent.size, agent.bins, config
        self._first = flat.joined([head.first.weight for head in self.modules])
        device, operand = agent.bins.device, precision.operand
        self._d_decoder = aligned(rows, agent.observation_size, operand, device)
        self._d_reward = aligned(rows, len(agent.bins), operand, device)
        self._d_cont = aligned(rows, 1, operand, device)
        self._d_prior = aligned(rows, agent.size.latent, operand, device)
        self.d_probabilities = torch.zeros(rows, agent.size.latent, device=device)

    def __call__(
        self, feature: Tensor, probabilities: Tensor, target: Tensor, batch: Batch, d_first: Tensor
    ) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return losses by name, the unweighted decoder loss (), and the gradient of the prior's first product (N, H).

        The gradient of the posterior's probabilities is left in `d_probabilities` (N, S*C).

        feature (N, F), probabilities (T, B, S*C) and target (N, O), squashed; d_first (N, 3 U) takes the gradients of
        the three heads' first products.
        """
        size, config, units, rows = self.size, self.config, self.size.units, len(feature)
        first = mm(feature, self._first.low.t())
        decoder, reward, cont = (
            head.run(part)
            for head, part in zip((self.decoder, self.reward, self.cont), first.split(units, 1), strict=True)
        )
        prior = self.prior.run(mm(feature[:, : size.deter], self.prior.first.low.t()))
        proceeds = (1.0 - batch.is_terminal.t().flatten()) * config.gamma
        scales = config.loss_scales
        errors = squared_error(
            decoder.output, self.decoder.bias, target, config.decoder_weights, scales["decoder"], self._d_decoder
        )
        surprise = two_hot_loss(
            reward.output,
            self.reward.bias,
            self.bins,
            [batch.reward.t().flatten()],
            [scales["reward"] / rows],
            None,
            self._d_reward,
        )
        endings = continue_loss(cont.output, self.cont.bias, proceeds, scales["continue"], self._d_cont)
        kl = divergence(
            probabilities.view(rows, size.stoch, size.classes), prior.output, self.prior.bias, config.free_nats,
            scales["dynamics"], scales["representation"], self._d_prior, self.d_probabilities,
        ).mean()  # fmt: skip
        self.decoder.learn(decoder, self._d_decoder, None, d_first[:, :units])
        self.reward.learn(reward, self._d_reward, None, d_first[:, units : 2 * units])
        self.cont.learn(cont, self._d_cont, None, d_first[:, 2 * units :])
        mm(d_first.t(), feature, out=self._first.grad)
        d_deter = self.prior.learn(prior, self._d_prior, feature[:, : size.deter])
        unweighted = errors[0].mean()
        decoder_loss = unweighted if config.decoder_weights is None else errors[1].mean()
        means = (decoder_loss, surprise.mean(), endings.mean(), kl, kl)
        return dict(zip(self.LOSSES, means, strict=True)), unweighted, d_deter
