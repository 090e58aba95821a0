"""Host side of the scan's backward pass: what is computed before it, the scan, and the gradient of every parameter."""

import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.arguments import Norm
from dreamer_exp.algorithms.dreamerv3.backends.fused.norm import norm_silu
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import Normed
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.backward import (
    STAGES,
    Inputs,
    Norms,
    Outputs,
    Projected,
    Weights,
    scan_backward,
)
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.norm_finish import norm_finish
from dreamer_exp.algorithms.dreamerv3.backends.fused.scan.posterior_scan import WARPS, PosteriorScan
from dreamer_exp.algorithms.dreamerv3.backends.requirements import TILE
from dreamer_exp.algorithms.dreamerv3.networks.products import bmm, mm


class NormTrace:
    """What the backward pass needs of one RMSNorm with SiLU over (T*B, N) rows: see norm.norm_silu."""

    def __init__(self, rows: int, width: int, like: Tensor) -> None:
        self.out, self.normed, self.slope = torch.zeros(3, rows, width, dtype=like.dtype, device=like.device)
        self.inverse = torch.zeros(rows, device=like.device)


class PosteriorScanGradient:
    """Gradient of a PosteriorScan's run.

    `precompute` needs that run alone, `run` also the gradients of its results. Afterwards, three independent methods
    write the gradients of sequence model and posterior, except for the action's layer: `backward_units`,
    `backward_core` and `backward_posterior`.

    Args:
        forward: the scan.
    """

    def __init__(self, forward: PosteriorScan) -> None:
        self.forward = forward
        size, device = forward.rssm.size, forward.deter.device
        rows, low = forward.steps * forward.rows, forward.feature
        deter, hidden, latent = size.deter, size.hidden, size.latent

        def of(dtype: torch.dtype, width: int) -> Tensor:
            return torch.zeros(rows, width, dtype=dtype, device=device)

        self.core, self.posterior = NormTrace(rows, deter, low), NormTrace(rows, hidden, low)
        self.units = NormTrace(rows, 2 * hidden, low)  # of deter and latent, next to each other
        self.deter_inverse, self.stoch_inverse = torch.zeros(2, rows, device=device)
        self.d_logits, self.d_posterior = of(low.dtype, latent), of(low.dtype, hidden)
        self.d_gates, self.d_core = of(low.dtype, 3 * deter), of(low.dtype, deter)
        self.d_units = of(low.dtype, 2 * hidden)
        self.d_pre_units, self.d_v = of(low.dtype, 2 * hidden), of(low.dtype, deter)
        self.d_pre_posterior = of(low.dtype, hidden)
        self.d_deter = of(torch.float32, deter)
        self.posterior_partials = of(torch.float32, hidden // TILE)
        self.core_partials = of(torch.float32, deter // TILE)
        self.units_partials = of(torch.float32, 2 * hidden // TILE)
        self.projected = Projected(
            posterior=of(torch.float32, deter),
            own=of(torch.float32, deter),
            units=of(torch.float32, 2 * hidden),
            deter=of(torch.float32, deter),
            stoch=of(torch.float32, latent),
        )
        self._counters = torch.zeros(forward.rows // TILE, dtype=torch.int32, device=device)

    def precompute(self, tokens: Tensor, action_units: Tensor) -> None:
        """Compute what depends on no gradient, for all steps: the norms, their products with weights, layers' inputs.

        Args:
            tokens: (T*B, E), as for `PosteriorScan.set_inputs`.
            action_units: (T*B, U), the same.
        """
        forward, parameters, size = self.forward, self.forward.parameters, self.forward.rssm.size
        hidden, deter, blocks, block = size.hidden, size.deter, size.blocks, self.forward.rssm.block
        first, second = slice(0, hidden), slice(hidden, None)
        units, core, posterior, projected = self.units, self.core, self.posterior, self.projected
        _norm(parameters.from_deter, forward.pre_deter, units, self.deter_inverse, first)
        _norm(parameters.from_stoch, forward.pre_stoch, units, self.stoch_inverse, second)
        _norm(parameters.core, forward.v, core, core.inverse)
        _norm(parameters.posterior, forward.pre_posterior, posterior, posterior.inverse)
        mm(units.normed[:, first], parameters.from_deter.weight.low, out=projected.deter)
        mm(units.normed[:, second], parameters.from_stoch.weight.low, out=projected.stoch)
        mm(posterior.normed, parameters.posterior.weight.low[:, :deter], out=projected.posterior)
        mm(core.normed, forward.shared[:2].view(2 * hidden, deter).t(), out=projected.units)
        own = parameters.core.weight.low[:, :block]
        by_block = core.normed.view(-1, blocks, block).transpose(0, 1)
        projected.own.view(-1, blocks, block).copy_(bmm(by_block, own.mT).transpose(0, 1))

        self.kept = (forward.feature[:-1] * forward.keep[..., None].to(forward.feature.dtype)).flatten(0, 1)
        self.core_inputs = torch.cat([self.units.out, action_units], 1)
        self.posterior_inputs = torch.cat([forward.feature[1:].flatten(0, 1)[:, :deter], tokens], 1)
        self._counters.zero_()

    def run(self, d_feature: Tensor, d_probabilities: Tensor) -> None:
        """Run the scan, from the gradients of features (T, B, F) and of posterior probabilities (T, B, S*C)."""
        steps = self.forward.steps
        if self.forward.persistent:
            self.run_stage(d_feature, d_probabilities, steps - 1, -1)
            return
        for t in reversed(range(steps)):
            for stage in range(STAGES):
                self.run_stage(d_feature, d_probabilities, t, stage)

    def backward_units(self) -> None:
        """Write the gradients of the first layers of deter and latent."""
        parameters, size = self.forward.parameters, self.forward.rssm.size
        hidden, tiles, units, partials = size.hidden, size.hidden // TILE, self.units, self.units_partials
        d_deter, d_stoch = self.d_pre_units[:, :hidden], self.d_pre_units[:, hidden:]
        _finish(parameters.from_deter, self.d_units[:, :hidden], units.normed[:, :hidden], self.deter_inverse,
                partials[:, :tiles], d_deter)  # fmt: skip
        _finish(parameters.from_stoch, self.d_units[:, hidden:], units.normed[:, hidden:], self.stoch_inverse,
                partials[:, tiles:], d_stoch)  # fmt: skip
        mm(d_deter.t(), self.kept[:, : size.deter], out=parameters.from_deter.weight.grad)
        mm(d_stoch.t(), self.kept[:, size.deter :], out=parameters.from_stoch.weight.grad)

    def backward_core(self) -> Tensor:
        """Write the gradients of core and gates; return that of the action's units (T*B, U), float32."""
        forward, parameters, size = self.forward, self.forward.parameters, self.forward.rssm.size
        deter, blocks, block = size.deter, size.blocks, forward.rssm.block
        _finish(parameters.core, self.d_core, self.core.normed, self.core.inverse, self.core_partials, self.d_v)
        core, d_v = parameters.core.weight.grad, self.d_v.view(-1, blocks, block).transpose(0, 1)
        core[:, :block].copy_(bmm(self.kept[:, :deter].unflatten(1, (blocks, block)).permute(1, 2, 0), d_v))
        core[:, block:].copy_(mm(self.core_inputs.t(), self.d_v).view(-1, blocks, block).transpose(0, 1))
        inner = self.core.out.view(-1, blocks, block).permute(1, 2, 0)
        d_gates = self.d_gates.view(-1, blocks, 3 * block).transpose(0, 1)
        bmm(inner, d_gates, out=parameters.gates.weight.grad)
        torch.sum(self.d_gates, 0, dtype=torch.float32, out=parameters.gates.bias.grad.view(-1))
        return mm(self.d_v, forward.shared[2].t())

    def backward_posterior(self) -> Tensor:
        """Write the gradients of the posterior; return that of the tokens (T*B, E), float32."""
        parameters, deter = self.forward.parameters, self.forward.rssm.size.deter
        _finish(parameters.posterior, self.d_posterior, self.posterior.normed, self.posterior.inverse,
                self.posterior_partials, self.d_pre_posterior)  # fmt: skip
        d_tokens = mm(self.d_pre_posterior, parameters.posterior.weight.low[:, deter:])
        mm(self.d_pre_posterior.t(), self.posterior_inputs, out=parameters.posterior.weight.grad)
        mm(self.d_logits.t(), self.posterior.out, out=parameters.out.weight.grad)
        torch.sum(self.d_logits, 0, dtype=torch.float32, out=parameters.out.bias.grad)
        return d_tokens

    def run_stage(self, d_feature: Tensor, d_probabilities: Tensor, last_step: int, stage: int) -> None:
        """Launch one stage of one step, or all stages of all steps if the scan is persistent."""
        forward, parameters = self.forward, self.forward.parameters
        inputs = Inputs(
            forward.keep, d_feature, d_probabilities, forward.probabilities, forward.gates, forward.deter
        )  # fmt: skip
        outputs = Outputs(
            self.d_logits, self.d_posterior, self.d_gates, self.d_core, self.d_units, self.d_deter,
            self.posterior_partials, self.core_partials, self.units_partials,
        )  # fmt: skip
        norms = Norms(
            self.posterior.slope, self.posterior.normed, self.posterior.inverse,
            self.core.slope, self.core.normed, self.core.inverse,
            self.units.slope, self.units.normed, self.deter_inverse, self.stoch_inverse,
        )  # fmt: skip
        weights = Weights(
            from_deter=parameters.from_deter.weight.low,
            from_stoch=parameters.from_stoch.weight.low,
            core=parameters.core.weight.low,
            shared=forward.shared,
            gates=parameters.gates.weight.low,
            posterior=parameters.posterior.weight.low,
            out=parameters.out.weight.low,
        )
        scan_backward[(forward.programs, forward.rows // TILE)](
            last_step, self._counters, inputs, outputs, norms, self.projected, weights, forward.sizes, STAGE=stage,
            num_warps=WARPS,
            launch_cooperative_grid=forward.persistent,  # raises an error instead of hanging if the grid isn't resident
        )  # fmt: skip


def _norm(layer: Normed, pre: Tensor, to: NormTrace, inverse: Tensor, columns: slice = slice(None)) -> None:
    bias, scale = Norm.of(layer)
    norm_silu(
        pre.view(-1, pre.shape[-1]), bias, scale, to.out[:, columns],
        normed=to.normed[:, columns], slope=to.slope[:, columns], inverse=inverse,
    )  # fmt: skip


def _finish(  # noqa: PLR0917
    layer: Normed, d_normed: Tensor, normed: Tensor, inverse: Tensor, partials: Tensor, d_pre: Tensor
) -> None:
    norm_finish(
        d_normed, normed, inverse, partials, layer.scale.value, d_pre, layer.scale.grad, layer.bias.grad.view(-1)
    )
