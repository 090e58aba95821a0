"""World-model heads on replayed states: decoder, reward, continue and prior, their losses and gradients."""

from typing import ClassVar

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.divergence import divergence
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron, aligned
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.regression import continue_loss
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.two_hot import two_hot_loss
from dreamer_exp.algorithms.dreamerv3.backends.fused.observation.decoders import make_decoder
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm


class WorldModelHeads:
    """losses.world_model_losses without the posterior scan, for N = T*B rows, and the gradients of its heads.

    Attributes:
        modules: the three heads that share their first product.
        d_probabilities: (N, S*C), gradient of the posterior's probabilities, written by each call.
    """

    LOSSES: ClassVar = ("decoder", "reward", "continue", "dynamics", "representation")

    def __init__(self, agent: Agent, flat: Flat, config: LossConfig, precision: Precision, rows: int) -> None:
        self.modules = (agent.decoder, agent.reward, agent.cont)
        self.decoder = make_decoder(agent.decoder, flat, config, precision, rows)
        self.reward, self.cont = (Perceptron.of(head, flat.view, precision) for head in (agent.reward, agent.cont))
        self.prior = Perceptron.of(agent.rssm.prior_net, flat.view, precision)
        self.size, self.bins, self.config = agent.size, agent.bins, config
        self._first = flat.joined([head.first.weight for head in self.modules])
        device, operand = agent.bins.device, precision.operand
        self._d_reward = aligned(rows, len(agent.bins), operand, device)
        self._d_cont = aligned(rows, 1, operand, device)
        self._d_prior = aligned(rows, agent.size.latent, operand, device)
        self.d_probabilities = torch.zeros(rows, agent.size.latent, device=device)

    def __call__(
        self, feature: Tensor, probabilities: Tensor, observation: Tensor, batch: Batch, d_first: Tensor
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Return losses by name, the unweighted decoder losses, and the gradient of the prior's first product (N, U).

        Also writes the gradients of the heads' parameters.

        Args:
            feature: (N, F).
            probabilities: (T, B, S*C), the posterior's.
            observation: (N, O), as for the decoder.
            batch: the batch.
            d_first: (N, 3 U), written: gradients of the first products of decoder, reward and continue head.
        """
        size, config, units, rows = self.size, self.config, self.size.units, len(feature)
        scales = config.loss_scales
        of_decoder, *columns = mm(feature, self._first.low.t()).split(units, 1)
        reward, cont = (head.forward(first) for head, first in zip((self.reward, self.cont), columns, strict=True))
        prior = self.prior.forward(mm(feature[:, : size.deter], self.prior.first.low.t()))
        continues = (1.0 - batch.is_terminal.t().flatten()) * config.gamma
        reward_losses = two_hot_loss(
            reward.output,
            self.reward.bias,
            self.bins,
            [batch.reward.t().flatten()],
            [scales["reward"] / rows],
            None,
            self._d_reward,
        )
        continue_losses = continue_loss(cont.output, self.cont.bias, continues, scales["continue"], self._d_cont)
        kl = divergence(
            probabilities.view(rows, size.stoch, size.classes), prior.output, self.prior.bias, config.free_nats,
            scales["dynamics"], scales["representation"], self._d_prior, self.d_probabilities,
        ).mean()  # fmt: skip
        decoder_loss, decoder_figures = self.decoder(of_decoder, observation, d_first[:, :units])
        self.reward.backward(reward, self._d_reward, None, d_first[:, units : 2 * units])
        self.cont.backward(cont, self._d_cont, None, d_first[:, 2 * units :])
        mm(d_first.t(), feature, out=self._first.grad)
        d_prior_first = self.prior.backward(prior, self._d_prior, feature[:, : size.deter])
        losses = (decoder_loss, reward_losses.mean(), continue_losses.mean(), kl, kl)
        return dict(zip(self.LOSSES, losses, strict=True)), decoder_figures, d_prior_first
