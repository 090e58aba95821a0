"""The filter's host side, backward: what is known before the scan, the scan, and the gradient of every parameter."""

import torch
import triton
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.norm import norm_silu
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import Normed, full
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.backward import STAGES, scan_backward
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.norm_finish import norm_finish
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.posterior_scan import (
    CLASSES_A_TILE,
    WARPS,
    PosteriorScan,
    inner_tile,
    power_of_two,
)
from dreamer_exp.algorithms.dreamerv3.backends.requirements import TILE
from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX
from dreamer_exp.algorithms.dreamerv3.networks.products import bmm, mm


class NormTrace:
    """What the way back needs of one RMSNorm with SiLU over (T*B, N) rows."""

    def __init__(self, rows: int, width: int, like: Tensor) -> None:
        self.out, self.normed, self.slope = torch.zeros(3, rows, width, dtype=like.dtype, device=like.device)
        self.inverse = torch.zeros(rows, device=like.device)


class PosteriorScanGradient:
    """The gradient of a PosteriorScan's run; `know` needs that run alone, `run` the gradients of what came of it.

    Then three independent parts write the gradient of every parameter of sequence model and posterior but the action's
    layer: `learn_units`, `learn_core` and `learn_posterior`.

    Made by `run`, all time-major rows of T*B: d_logits, d_posterior, d_gates, d_core and d_units, operand dtype.
    """

    def __init__(self, forward: PosteriorScan) -> None:
        self.forward = forward
        size, device = forward.rssm.size, forward.deter.device
        rows, low = forward.steps * forward.rows, forward.feature
        deter, hidden, latent = size.deter, size.hidden, size.latent

        def of(dtype: torch.dtype, width: int) -> Tensor:
            return torch.zeros(rows, width, dtype=dtype, device=device)

        self.core, self.posterior = NormTrace(rows, deter, low), NormTrace(rows, hidden, low)
        self.units = NormTrace(rows, 2 * hidden, low)  # of deter and latent, side by side
        self.deter_inverse, self.stoch_inverse = torch.zeros(2, rows, device=device)
        self.d_logits, self.d_posterior = of(low.dtype, latent), of(low.dtype, hidden)
        self.d_gates, self.d_core = of(low.dtype, 3 * deter), of(low.dtype, deter)
        self.d_units = of(low.dtype, 2 * hidden)
        self.d_pre_units, self.d_v = of(low.dtype, 2 * hidden), of(low.dtype, deter)
        self.d_pre_posterior = of(low.dtype, hidden)
        self.carried = of(torch.float32, deter)
        self.posterior_shares, self.core_shares = of(torch.float32, hidden // TILE), of(torch.float32, deter // TILE)
        self.units_shares = of(torch.float32, 2 * hidden // TILE)
        self.known_posterior, self.known_own = of(torch.float32, deter), of(torch.float32, deter)
        self.known_deter, self.known_stoch = of(torch.float32, deter), of(torch.float32, latent)
        self.known_units = of(torch.float32, 2 * hidden)
        self._counters = torch.zeros(forward.rows // TILE, dtype=torch.int32, device=device)

    def know(self, tokens: Tensor, action_units: Tensor) -> None:
        """What doesn't wait for a gradient, for all steps at once: the norms' derivatives and their products with the
        weights, and what the layers read. tokens (T*B, E) and action_units (T*B, H) as the run took them."""
        forward, leaves, size = self.forward, self.forward.leaves, self.forward.rssm.size
        hidden, deter, blocks, block = size.hidden, size.deter, size.blocks, self.forward.rssm.block
        first, second = slice(0, hidden), slice(hidden, None)
        units, core, posterior = self.units, self.core, self.posterior
        _norm(leaves.from_deter, forward.pre_deter, units, self.deter_inverse, first)
        _norm(leaves.from_stoch, forward.pre_stoch, units, self.stoch_inverse, second)
        _norm(leaves.core, forward.v, core, core.inverse)
        _norm(leaves.posterior, forward.pre_posterior, posterior, posterior.inverse)
        mm(units.normed[:, first], leaves.from_deter.weight.low, out=self.known_deter)
        mm(units.normed[:, second], leaves.from_stoch.weight.low, out=self.known_stoch)
        mm(posterior.normed, leaves.posterior.weight.low[:, :deter], out=self.known_posterior)
        mm(core.normed, forward.shared[:2].view(2 * hidden, deter).t(), out=self.known_units)
        own = leaves.core.weight.low[:, :block]
        by_block = core.normed.view(-1, blocks, block).transpose(0, 1)
        self.known_own.view(-1, blocks, block).copy_(bmm(by_block, own.mT).transpose(0, 1))

        self.kept = (forward.feature[:-1] * forward.keep[..., None].to(forward.feature.dtype)).flatten(0, 1)
        self.inputs = torch.cat([self.units.out, action_units], 1)
        self.read = torch.cat([forward.feature[1:].flatten(0, 1)[:, :deter], tokens], 1)
        self._counters.zero_()

    def run(self, d_feature: Tensor, d_probabilities: Tensor) -> None:
        """The scan, from the gradients of the features (T, B, F) and of the posterior's probabilities (T, B, S*C)."""
        steps = self.forward.steps
        if self.forward.persistent:
            self._stage(d_feature, d_probabilities, steps - 1, -1)
            return
        for t in reversed(range(steps)):
            for stage in range(STAGES):
                self._stage(d_feature, d_probabilities, t, stage)

    def learn_units(self) -> None:
        """The gradients of the layers that the recurrent state and the latent go through."""
        leaves, size = self.forward.leaves, self.forward.rssm.size
        hidden, tiles, units, shares = size.hidden, size.hidden // TILE, self.units, self.units_shares
        d_deter, d_stoch = self.d_pre_units[:, :hidden], self.d_pre_units[:, hidden:]
        _finish(leaves.from_deter, self.d_units[:, :hidden], units.normed[:, :hidden], self.deter_inverse,
                shares[:, :tiles], d_deter)  # fmt: skip
        _finish(leaves.from_stoch, self.d_units[:, hidden:], units.normed[:, hidden:], self.stoch_inverse,
                shares[:, tiles:], d_stoch)  # fmt: skip
        mm(d_deter.t(), self.kept[:, : size.deter], out=leaves.from_deter.weight.grad)
        mm(d_stoch.t(), self.kept[:, size.deter :], out=leaves.from_stoch.weight.grad)

    def learn_core(self) -> Tensor:
        """The gradients of the core and the gates; returns that of the action's units (T*B, H), float32."""
        forward, leaves, size = self.forward, self.forward.leaves, self.forward.rssm.size
        deter, blocks, block = size.deter, size.blocks, forward.rssm.block
        _finish(leaves.core, self.d_core, self.core.normed, self.core.inverse, self.core_shares, self.d_v)
        core, d_v = leaves.core.weight.grad, self.d_v.view(-1, blocks, block).transpose(0, 1)
        core[:, :block].copy_(bmm(self.kept[:, :deter].unflatten(1, (blocks, block)).permute(1, 2, 0), d_v))
        core[:, block:].copy_(mm(self.inputs.t(), self.d_v).view(-1, blocks, block).transpose(0, 1))
        inner = self.core.out.view(-1, blocks, block).permute(1, 2, 0)
        d_gates = self.d_gates.view(-1, blocks, 3 * block).transpose(0, 1)
        bmm(inner, d_gates, out=leaves.gates.weight.grad)
        torch.sum(self.d_gates, 0, dtype=torch.float32, out=leaves.gates.bias.grad.view(-1))
        return mm(self.d_v, forward.shared[2].t())

    def learn_posterior(self) -> Tensor:
        """The gradients of the posterior; returns that of the tokens (T*B, E), float32."""
        leaves, deter = self.forward.leaves, self.forward.rssm.size.deter
        _finish(leaves.posterior, self.d_posterior, self.posterior.normed, self.posterior.inverse,
                self.posterior_shares, self.d_pre_posterior)  # fmt: skip
        d_tokens = mm(self.d_pre_posterior, leaves.posterior.weight.low[:, deter:])
        mm(self.d_pre_posterior.t(), self.read, out=leaves.posterior.weight.grad)
        mm(self.d_logits.t(), self.posterior.out, out=leaves.out.weight.grad)
        torch.sum(self.d_logits, 0, dtype=torch.float32, out=leaves.out.bias.grad)
        return d_tokens

    def _stage(self, d_feature: Tensor, d_probabilities: Tensor, last_step: int, stage: int) -> None:
        forward, leaves, size = self.forward, self.forward.leaves, self.forward.rssm.size
        block = forward.rssm.block
        scan_backward[(forward.programs, forward.rows // TILE)](
            last_step, self._counters, forward.keep, d_feature, d_probabilities, forward.probabilities, forward.gates,
            forward.deter, self.d_logits, self.d_posterior, self.d_gates, self.d_core, self.d_units, self.carried,
            self.posterior_shares, self.core_shares, self.units_shares,
            self.posterior.slope, self.posterior.normed, self.posterior.inverse,
            self.core.slope, self.core.normed, self.core.inverse,
            self.units.slope, self.units.normed, self.deter_inverse, self.stoch_inverse,
            self.known_posterior, self.known_own, self.known_units, self.known_deter, self.known_stoch,
            leaves.from_deter.weight.low, leaves.from_stoch.weight.low, leaves.core.weight.low, forward.shared,
            leaves.gates.weight.low, leaves.posterior.weight.low, leaves.out.weight.low,
            STEPS=forward.steps, B=forward.rows, D=size.deter, K=block, KP=power_of_two(block),
            H=size.hidden, HP=power_of_two(size.hidden),
            E=leaves.posterior.weight.low.shape[1] - size.deter, S=size.stoch,
            C=size.classes, CP=triton.next_power_of_2(size.classes),
            CT=max(1, CLASSES_A_TILE // triton.next_power_of_2(size.classes)), TN=TILE,
            NP=triton.next_power_of_2(size.hidden // TILE), NPD=triton.next_power_of_2(size.deter // TILE),
            BK=inner_tile(size.deter, 512),
            BKL=inner_tile(size.latent, 2048 // self.d_logits.element_size()),
            BKG=inner_tile(3 * block, 256), CTAS=forward.programs, UNIMIX=UNIMIX,
            DOT=forward.precision.dot, PERSISTENT=forward.persistent, STAGE=stage, num_warps=WARPS,
            launch_cooperative_grid=forward.persistent,  # an error, not a hang, where the grid isn't resident
        )  # fmt: skip


def _norm(layer: Normed, pre: Tensor, to: NormTrace, inverse: Tensor, columns: slice = slice(None)) -> None:
    bias, scale = full(layer)
    norm_silu(
        pre.view(-1, pre.shape[-1]), bias, scale, to.out[:, columns],
        normed=to.normed[:, columns], slope=to.slope[:, columns], inverse=inverse,
    )  # fmt: skip


def _finish(  # noqa: PLR0917
    layer: Normed, d_normed: Tensor, normed: Tensor, inverse: Tensor, shares: Tensor, d_pre: Tensor
) -> None:
    norm_finish(d_normed, normed, inverse, shares, layer.scale.value, d_pre, layer.scale.grad, layer.bias.grad.view(-1))
