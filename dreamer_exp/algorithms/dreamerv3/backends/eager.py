"""The eager backend: noise, losses, gradients, optimiser step, slow critic. It never waits for a GPU."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, Noise, ReturnRange, total_loss
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

SLOW_RATE = 0.02  # how far the slow critic moves towards the critic (arXiv:2301.04104v2, table of hyperparameters)


@dataclass
class EagerUpdate:
    """An update by autograd, on any device; a CUDA graph can capture a call.

    Args:
        agent: the network.
        optimizer: of the agent's parameters.
        returns: range of the imagined returns so far.
        config: weights and constants.
        generator: of all noise, on the agent's device.
        bfloat16: matrix products in bfloat16; parameters, losses and optimiser stay float32.
    """

    agent: Agent
    optimizer: LaProp
    returns: ReturnRange
    config: LossConfig
    generator: torch.Generator
    bfloat16: bool = False

    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """Make an update; return the figures, () each, and the new states (B, T, ...) for the replay.

        On a CPU, where the check doesn't wait for a device, an update with a figure that isn't finite changes neither
        weights nor optimiser.
        """
        self.optimizer.zero_grad(set_to_none=True)
        noise = self.draw(*batch.reward.shape)
        with torch.autocast(self.generator.device.type, torch.bfloat16, enabled=self.bfloat16):
            total, figures, states = total_loss(self.agent, batch, noise, self.returns, self.config)
        total.backward()
        self.optimizer.measure()
        norms = {f"grad_norm_{name}": norm for name, norm in self.optimizer.norms.items()}
        figures = {"total": total.detach(), **figures, **norms}
        if self.device.type != "cpu" or torch.stack(list(figures.values())).isfinite().all():
            self._step()
        return figures, states

    def _step(self) -> None:
        self.optimizer.step()
        if self.config.train_critic:
            self.agent.update_slow_critic(SLOW_RATE)

    def draw(self, rows: int, steps: int) -> Noise:
        """Draw the noise of an update for B rows and T steps."""
        stoch, kind, horizon, device = self.agent.size.stoch, self.agent.action, self.config.horizon_H, self.device
        action = torch.empty(horizon + 1, rows * steps, kind.noise, device=device)
        return Noise(
            posterior=torch.rand(rows, steps, stoch, generator=self.generator, device=device),
            prior=torch.rand(horizon, rows * steps, stoch, generator=self.generator, device=device),
            action=(action.uniform_ if kind.discrete else action.normal_)(generator=self.generator),
        )

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.generator.device
