"""The filter's host side, forward: buffers of all T steps, and the launches of `scan_forward`."""

from collections.abc import Callable

import torch
import triton
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Leaf
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import ScanParameters, full
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.forward import STAGES, scan_forward
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import PARTS
from dreamer_exp.algorithms.dreamerv3.backends.requirements import TILE
from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import Rssm, State

WARPS = 4
CLASSES_A_TILE = 32  # columns of a tile of `draw`, padding included


class PosteriorScan:
    """Rssm.observe for B rows and T steps, of which everything is kept for the way back.

    feature (T+1, B, F) operand dtype and deter (T+1, B, D) float32 begin with the carried state; probabilities
    (T, B, S*C) float32 are the posterior's, classes (T, B, S) int32 its sample.

    Args:
        rssm: whose posterior has one hidden layer.
        leaf: of each of its parameters.
        precision: of products.
        rows: B, a multiple of 16.
        steps: T.
        programs: of each 16 rows; all of them must be resident at once where the scan is persistent.
        beyond: how many rows to hold behind those of feature and deter, for whoever goes on from step 0 to T-1.
        persistent: one launch for all steps, or one for every stage of every step.
    """

    def __init__(  # noqa: PLR0917
        self,
        rssm: Rssm,
        leaf: Callable[[nn.Parameter], Leaf],
        precision: Precision,
        rows: int,
        steps: int,
        programs: int = 32,
        beyond: int = 0,
        *,
        persistent: bool,
    ) -> None:
        self.rssm, self.precision, self.persistent = rssm, precision, persistent
        self.leaves = ScanParameters.of(rssm, leaf)
        self.rows, self.steps, self.programs = rows, steps, programs
        size, device = rssm.size, rssm.core.weight.device

        def low(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=precision.operand, device=device)

        def single(*shape: int) -> Tensor:
            return torch.zeros(shape, device=device)

        deter, hidden, latent = size.deter, size.hidden, size.latent
        first, held = (steps + 1) * rows, (steps + 1) * rows + beyond
        all_features, all_deter = low(held, size.feature), single(held, deter)
        self.feature = all_features[:first].view(steps + 1, rows, size.feature)
        self.deter = all_deter[:first].view(steps + 1, rows, deter)
        self.onward = all_features[rows:], all_deter[rows:]  # from the first filtered step on
        self.classes = torch.zeros(steps, rows, size.stoch, dtype=torch.int32, device=device)
        self.pre_deter, self.pre_stoch, self.pre_posterior = single(3, steps, rows, hidden)
        self.v = single(steps, rows, deter)
        self.squares = single(steps, rows, deter // TILE)
        self.gates = single(steps, rows, 3 * deter)  # (G, 3, K) of each row
        self.probabilities = single(steps, rows, latent)
        self.table = low(latent, hidden)  # from_stoch's weight, transposed: its rows are gathered
        self.shared = low(3, hidden, deter)  # the core's inputs that all blocks share
        self._units = low(rows, 2 * hidden)
        self._counters = torch.zeros(rows // TILE, dtype=torch.int32, device=device)

    def _lay_out(self) -> None:
        """Lays out the weights that the scan reads otherwise than they are stored; once an update."""
        core = self.leaves.core.weight.low  # (G, K + 3 H, K)
        self.table.copy_(self.leaves.from_stoch.weight.low.t())
        blocks, hidden = self.rssm.size.blocks, self.rssm.size.hidden
        shared = core[:, self.rssm.block :].transpose(0, 1)  # (3 H, G, K)
        self.shared.view(3 * hidden, blocks, self.rssm.block).copy_(shared)

    def begin(self, carry: State, keep: Tensor) -> None:
        """What the first step reads of the state before it (B, ...); keep (T, B) is 0 where an episode begins, or 1."""
        size = self.rssm.size
        self._lay_out()
        self.keep = keep
        self.deter[0].copy_(carry.deter)
        self.feature[0, :, : size.deter].copy_(carry.deter)
        self.feature[0, :, size.deter :].copy_(carry.stoch)
        kept = self.feature[0] * keep[0, :, None].to(self.feature.dtype)
        mm(kept[:, : size.deter], self.leaves.from_deter.weight.low.t(), out=self.pre_deter[0])
        mm(kept[:, size.deter :], self.table, out=self.pre_stoch[0])
        self._counters.zero_()

    def read(self, tokens: Tensor, action_units: Tensor) -> None:
        """The part of all steps that waits for none, after `begin`.

        Args:
            tokens: (T*B, E) operand dtype.
            action_units: of the action that led to each step, forgotten where an episode begins (T*B, H) operand dtype.
        """
        self.token_part = mm(tokens, self.leaves.posterior.weight.low[:, self.rssm.size.deter :].t())
        self.action_part = mm(action_units, self.shared[2])

    def run(self, uniform: Tensor) -> None:
        """Fills the buffers, with noise (T, B, S); after `read`."""
        if self.persistent:
            self._stage(uniform, 0, -1)
            return
        for t in range(self.steps):
            for stage in range(STAGES):
                self._stage(uniform, t, stage)

    def _stage(self, uniform: Tensor, first_step: int, stage: int) -> None:
        rssm, size, leaves = self.rssm, self.rssm.size, self.leaves
        scan_forward[(self.programs, self.rows // TILE)](
            first_step, self._counters,
            self.feature, self.deter, self.classes, self.pre_deter, self.pre_stoch, self.action_part, self.token_part,
            self.keep, uniform, self._units, self.v, self.squares, self.gates, self.pre_posterior, self.probabilities,
            self.table, leaves.core.weight.low, self.shared, *full(leaves.core),
            leaves.gates.weight.low, leaves.gates.bias.value, leaves.from_deter.weight.low,
            *full(leaves.from_deter), *full(leaves.from_stoch),
            leaves.posterior.weight.low, *full(leaves.posterior), leaves.out.weight.low, leaves.out.bias.value,
            STEPS=self.steps, B=self.rows, D=size.deter, K=rssm.block, KP=power_of_two(rssm.block), H=size.hidden,
            HP=power_of_two(size.hidden), E=leaves.posterior.weight.low.shape[1] - size.deter, S=size.stoch,
            SP=power_of_two(size.stoch), C=size.classes, CP=triton.next_power_of_2(size.classes),
            CT=max(1, CLASSES_A_TILE // triton.next_power_of_2(size.classes)), TN=TILE,
            NP=triton.next_power_of_2(size.deter // TILE), BK=inner_tile(size.deter, 512), CTAS=self.programs,
            EPSILON=RMS_EPSILON, UNIMIX=UNIMIX, DOT=self.precision.dot, PERSISTENT=self.persistent, STAGE=stage,
            num_warps=WARPS,
            launch_cooperative_grid=self.persistent,  # an error, not a hang, where the grid isn't resident
        )  # fmt: skip


def inner_tile(width: int, most: int) -> int:
    """How much of a product's inner dimension a program takes at once: each of its warps a tile of tensor cores."""
    least: int = PARTS.value * TILE
    return min(most, max(least, power_of_two(width)))


def power_of_two(width: int) -> int:
    """The power of two that holds it, at least the 16 that a product needs."""
    padded: int = triton.next_power_of_2(width)
    return max(TILE, padded)
