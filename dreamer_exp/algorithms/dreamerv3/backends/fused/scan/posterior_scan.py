"""Host side of the posterior scan: buffers of all T steps, and the launches of `scan_forward`."""

import torch
import triton
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.arguments import Linear, Norm, NormedLinear, constants
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ViewOf
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import ScanParameters
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.forward import STAGES, Buffers, Weights, scan_forward
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.grid import SPLITS, ScanSizes
from dreamer_exp.algorithms.dreamerv3.backends.requirements import TILE
from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import Rssm, State

WARPS = 4
CLASSES_A_TILE = 32  # columns of a tile of `sample_latent`, padding included


class PosteriorScan:
    """Rssm.observe for B rows and T steps, which keeps everything that the backward pass needs.

    Args:
        rssm: its posterior has one hidden layer.
        view_of: returns the views of each of its parameters.
        precision: of matrix products.
        rows: B, a multiple of 16.
        steps: T.
        programs: for each 16 rows; if the scan is persistent, all of them must be resident at the same time.
        extra_rows: rows to allocate behind those of feature and deter, for a rollout that continues from them.
        persistent: one launch for all steps, instead of one for every stage of every step.

    Attributes:
        feature: (T+1, B, F), operand dtype; the carried state, then the states of the steps.
        deter: (T+1, B, D), float32, the same.
        probabilities: (T, B, S*C), float32, of the posterior.
        classes: (T, B, S), int32, its samples.
        rollout_states: feature and deter of step 1 on with the extra rows, (T*B + extra_rows, ...).
    """

    def __init__(  # noqa: PLR0917
        self,
        rssm: Rssm,
        view_of: ViewOf,
        precision: Precision,
        rows: int,
        steps: int,
        programs: int = 32,
        extra_rows: int = 0,
        *,
        persistent: bool,
    ) -> None:
        self.rssm, self.precision, self.persistent = rssm, precision, persistent
        self.parameters = ScanParameters.of(rssm, view_of)
        self.rows, self.steps, self.programs = rows, steps, programs
        size, device = rssm.size, rssm.core.weight.device

        def low(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=precision.operand, device=device)

        def single(*shape: int) -> Tensor:
            return torch.zeros(shape, device=device)

        deter, hidden, latent = size.deter, size.hidden, size.latent
        scanned, allocated = (steps + 1) * rows, (steps + 1) * rows + extra_rows
        all_features, all_deter = low(allocated, size.feature), single(allocated, deter)
        self.feature = all_features[:scanned].view(steps + 1, rows, size.feature)
        self.deter = all_deter[:scanned].view(steps + 1, rows, deter)
        self.rollout_states = all_features[rows:], all_deter[rows:]
        self.classes = torch.zeros(steps, rows, size.stoch, dtype=torch.int32, device=device)
        self.pre_deter, self.pre_stoch, self.pre_posterior = single(3, steps, rows, hidden)
        self.v = single(steps, rows, deter)
        self.squares = single(steps, rows, deter // TILE)
        self.gates = single(steps, rows, 3 * deter)  # (G, 3, K) of each row
        self.probabilities = single(steps, rows, latent)
        self.table = low(latent, hidden)  # from_stoch's weight, transposed: its rows are gathered
        self.shared = low(3, hidden, deter)  # the core's rows that all blocks share
        self._units = low(rows, 2 * hidden)
        self._counters = torch.zeros(rows // TILE, dtype=torch.int32, device=device)
        self.sizes = self._constants()

    def _constants(self) -> ScanSizes:
        size, block, element = self.rssm.size, self.rssm.block, self.feature.element_size()
        classes = triton.next_power_of_2(size.classes)
        return constants(
            ScanSizes,
            STEPS=self.steps, B=self.rows, D=size.deter, K=block, KP=power_of_two(block),
            U=size.hidden, UP=power_of_two(size.hidden),
            E=self.parameters.posterior.weight.low.shape[1] - size.deter,
            S=size.stoch, SP=power_of_two(size.stoch), C=size.classes, CP=classes, F=size.feature, L=size.latent,
            TN=TILE, CT=max(1, CLASSES_A_TILE // classes),
            DTP=triton.next_power_of_2(size.deter // TILE), UTP=triton.next_power_of_2(size.hidden // TILE),
            BK=inner_tile(size.deter, 512), BKL=inner_tile(size.latent, 2048 // element),
            BKG=inner_tile(3 * block, 256),
            CTAS=self.programs, EPSILON=RMS_EPSILON, UNIMIX=UNIMIX, DOT=self.precision.dot, PERSISTENT=self.persistent,
        )  # fmt: skip

    def _copy_weights(self) -> None:
        """Copy the weights that the scan reads in another layout than they are stored in; once per update."""
        core = self.parameters.core.weight.low  # (G, K + 3 U, K)
        self.table.copy_(self.parameters.from_stoch.weight.low.t())
        blocks, hidden = self.rssm.size.blocks, self.rssm.size.hidden
        shared = core[:, self.rssm.block :].transpose(0, 1)  # (3 U, G, K)
        self.shared.view(3 * hidden, blocks, self.rssm.block).copy_(shared)

    def begin(self, carry: State, keep: Tensor) -> None:
        """Prepare the first step.

        Args:
            carry: state before it (B, ...).
            keep: (T, B), 0 where an episode begins, otherwise 1.
        """
        size = self.rssm.size
        self._copy_weights()
        self.keep = keep
        self.deter[0].copy_(carry.deter)
        self.feature[0, :, : size.deter].copy_(carry.deter)
        self.feature[0, :, size.deter :].copy_(carry.stoch)
        kept = self.feature[0] * keep[0, :, None].to(self.feature.dtype)
        mm(kept[:, : size.deter], self.parameters.from_deter.weight.low.t(), out=self.pre_deter[0])
        mm(kept[:, size.deter :], self.table, out=self.pre_stoch[0])
        self._counters.zero_()

    def set_inputs(self, tokens: Tensor, action_units: Tensor) -> None:
        """Compute what doesn't depend on the steps' states, after `begin`.

        Args:
            tokens: (T*B, E), operand dtype.
            action_units: (T*B, U), operand dtype, of the action that led to each step, zero where an episode begins.
        """
        self.token_part = mm(tokens, self.parameters.posterior.weight.low[:, self.rssm.size.deter :].t())
        self.action_part = mm(action_units, self.shared[2])

    def run(self, uniform: Tensor) -> None:
        """Fill the buffers with the steps, after `set_inputs`; uniform (T, B, S) is noise in [0, 1)."""
        if self.persistent:
            self.run_stage(uniform, 0, -1)
            return
        for t in range(self.steps):
            for stage in range(STAGES):
                self.run_stage(uniform, t, stage)

    def run_stage(self, uniform: Tensor, step: int, stage: int) -> None:
        """Launch one stage of one step, or all stages of all steps if the scan is persistent."""
        parameters = self.parameters
        buffers = Buffers(
            self.feature, self.deter, self.classes, self.pre_deter, self.pre_stoch, self.action_part, self.token_part,
            self.keep, uniform, self._units, self.v, self.squares, self.gates, self.pre_posterior, self.probabilities,
        )  # fmt: skip
        weights = Weights(
            table=self.table,
            core=parameters.core.weight.low,
            shared=self.shared,
            core_norm=Norm.of(parameters.core),
            gates=Linear.of(parameters.gates),
            from_deter=NormedLinear.of(parameters.from_deter),
            from_stoch_norm=Norm.of(parameters.from_stoch),
            posterior=NormedLinear.of(parameters.posterior),
            out=Linear.of(parameters.out),
        )
        scan_forward[(self.programs, self.rows // TILE)](
            step, self._counters, buffers, weights, self.sizes, STAGE=stage, num_warps=WARPS,
            launch_cooperative_grid=self.persistent,  # raises an error instead of hanging if the grid isn't resident
        )  # fmt: skip


def inner_tile(width: int, most: int) -> int:
    """Return how much of a product's inner dimension a program takes at once: at least one tile for each warp."""
    least: int = SPLITS.value * TILE
    return min(most, max(least, power_of_two(width)))


def power_of_two(width: int) -> int:
    """Return the least power of two that is at least the width, and at least the 16 that a product needs."""
    padded: int = triton.next_power_of_2(width)
    return max(TILE, padded)
