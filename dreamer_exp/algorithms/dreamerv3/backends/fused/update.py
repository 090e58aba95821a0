"""The fused backend: an update from hand-written kernels, which cuda_graph.py captures as one graph."""

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.eager import SLOW_RATE, EagerUpdate
from dreamer_exp.algorithms.dreamerv3.backends.fused.gradients import Gradients, flat_storage
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.laprop import FusedLaProp
from dreamer_exp.algorithms.dreamerv3.losses import Batch, Noise
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State


class FusedUpdate:
    """The same update as the eager backend's, for batches of one shape; what a call returns is valid until the next.

    It moves the agent's parameters and the optimiser's state to its own storage, and keeps a copy of the weights in the
    operand dtype. After loading a checkpoint, make a new one.

    Args:
        update: the eager backend's, with a trained actor and critic.
        precision: of matrix products.
        shape: B, a multiple of 16, and T.
        programs: of the scans over time, for each 16 rows; persistent ones must be resident at the same time.
        persistent: a scan is one launch; otherwise one for every stage of every step, which works on any device.
    """

    def __init__(
        self, update: EagerUpdate, precision: Precision, shape: tuple[int, int], programs: int = 32, *, persistent: bool
    ) -> None:
        self.update, self.shape = update, shape
        self.flat = flat_storage(update.agent, precision)
        self.optimizer = FusedLaProp(self.flat, update.optimizer, SLOW_RATE)
        self.gradients = Gradients(
            update.agent, self.flat, update.returns, update.config, precision, shape, programs, persistent=persistent
        )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[dict[str, Tensor], State]:
        """Make an update; return the figures, () each, and the new states (B, T, ...) for the replay."""
        self.optimizer.schedule()
        figures, states = self.gradients(batch, self.draw())
        self.optimizer.measure()
        figures |= {f"grad_norm_{name}": norm for name, norm in self.update.optimizer.norms.items()}
        self.optimizer.step()
        self.gradients.streams.mark("optimiser")
        return figures, states

    def draw(self) -> Noise:
        """Draw the noise of an update, in the shapes that `Gradients` takes."""
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
    def trial_update(self) -> None:
        """Compile and launch everything that a call does except the optimiser's step.

        Nothing that an update depends on changes.

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
        generator_state, returns = self.generator.get_state(), self.update.returns
        low, high = returns.low.clone(), returns.high.clone()
        try:
            noise = self.draw()
            self.gradients.compile(batch, noise)
            self.gradients(batch, noise)
        finally:
            if self.device.type == "cuda":  # after a failed launch, streams may still be writing the return range
                torch.cuda.synchronize(self.device)
            self.generator.set_state(generator_state)
            returns.low.copy_(low)
            returns.high.copy_(high)

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.update.device

    @property
    def generator(self) -> torch.Generator:
        """Generator of all noise."""
        return self.update.generator
