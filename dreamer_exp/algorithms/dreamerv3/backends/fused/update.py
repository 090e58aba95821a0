"""The fused rung: an update out of our own kernels, which graph.py captures whole."""

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.eager import SLOW_RATE, Update
from dreamer_exp.algorithms.dreamerv3.backends.fused.gradients import Gradients, stored
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.laprop import FusedLaProp
from dreamer_exp.algorithms.dreamerv3.losses import Batch, Noise
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State


class FusedUpdate:
    """Called like the Update that it computes otherwise, with batches of one shape.

    It takes over the storage of the agent's parameters and of the optimiser's state, and a shadow of the weights in the
    operands' dtype: after loading a checkpoint, make a new one. What a call returns lasts until the next one.

    Args:
        update: the eager rung's, with actor and critic trained.
        precision: of matrix products.
        shape: B, a multiple of 16, and T.
        programs: of the scans over time, for each 16 rows; all must be resident at once if they are persistent.
        persistent: a scan is one launch; else one for every stage of every step, which any device can.
    """

    def __init__(
        self, update: Update, precision: Precision, shape: tuple[int, int], programs: int = 32, *, persistent: bool
    ) -> None:
        self.update, self.shape = update, shape
        self.flat = stored(update.agent, precision)
        self.optimizer = FusedLaProp(self.flat, update.optimizer, SLOW_RATE)
        self.gradients = Gradients(
            update.agent, self.flat, update.returns, update.config, precision, shape, programs, persistent=persistent
        )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """The figures, each (), and the new states (B, T, ...) for the replay."""
        self.optimizer.schedule()
        figures, states = self.gradients(batch, self.draw())
        self.optimizer.measure()
        figures |= {f"grad_norm_{name}": norm for name, norm in self.update.optimizer.norms.items()}
        self.optimizer.step()
        self.gradients.lanes.mark("optimiser")
        return figures, states

    def draw(self) -> Noise:
        """Fresh noise, as `Gradients` wants it."""
        (rows, steps), agent, device = self.shape, self.update.agent, self.device
        horizon, count, generator = self.update.config.horizon_H, rows * steps, self.generator
        uniform = torch.rand(1 + horizon, count, agent.size.stoch, generator=generator, device=device)
        action = torch.empty(horizon, count, agent.action.noise, device=device)
        return Noise(
            posterior=uniform[0].view(steps, rows, -1),
            prior=uniform[1:],
            action=(action.uniform_ if agent.action.discrete else action.normal_)(generator=generator),
        )

    @torch.no_grad()
    def rehearse(self) -> None:
        """Compiles and launches what a call would, but for the step: nothing that an update depends on changes.

        Raises:
            Exception: a kernel doesn't compile or run here; of Triton, its C compiler, its cache or the driver.
        """
        (rows, steps), agent = self.shape, self.update.agent
        blank = torch.zeros(rows, steps, device=self.device)
        batch = Batch(
            observation=blank.new_zeros(rows, steps, agent.observation_size),
            action=blank.new_zeros(rows, steps, agent.action.size),
            previous_action=blank.new_zeros(rows, agent.action.size),
            reward=blank,
            is_first=blank,
            is_last=blank,
            is_terminal=blank,
            carry=agent.rssm.initial(rows),
        )
        drawn, returns = self.generator.get_state(), self.update.returns
        low, high = returns.low.clone(), returns.high.clone()
        try:
            noise = self.draw()
            self.gradients.compile(batch, noise)
            self.gradients(batch, noise)
        finally:
            if self.device.type == "cuda":  # a launch that failed leaves the lanes at work, on the return range too
                torch.cuda.synchronize(self.device)
            self.generator.set_state(drawn)
            returns.low.copy_(low)
            returns.high.copy_(high)

    @property
    def device(self) -> torch.device:
        """Where everything is."""
        return self.update.device

    @property
    def generator(self) -> torch.Generator:
        """Of all noise."""
        return self.update.generator
