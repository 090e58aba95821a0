"""The imagined rollout for the update of actor and critic: H steps from N start states, without gradient.

A step is three matrix products and three kernels (kernels.py). Each further layer of the actor or the prior adds a
product and a norm, and so do gates whose blocks are too large for one program. The arithmetic is that of
world_model/imagination.py and losses.imagine.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import triton
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.actor import MAX_STD, MIN_STD
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.arguments import Linear, Norm, NormedLinear, constants
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.kernels import (
    RolloutSizes,
    act_and_units_kernel,
    gru_kernel,
    latent_kernel,
    next_deter_kernel,
)
from dreamer_exp.algorithms.dreamerv3.backends.fused.norm import norm_silu
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ViewOf
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import Normed
from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, bmm, mm

ROW_TILE = 16  # rows per program; the fewest that tl.dot takes
# The following were tuned on an H200, for sizes XS and 12M.
REDUCED_BYTES = 128  # of an operand's row that a program multiplies at once
NORM_LOADS = 4  # loads for the squares of a row
GATE_TILE = 64  # units of the largest block whose gates one program computes
CLASS_TILE, CLASS_WARPS = 64, 1  # logits that a program samples from, in complete categoricals


class ImaginedRollout:
    """H imagined steps of N rows. The caller writes step 0 of `features` and `deter`; `run` writes the rest.

    Args:
        agent: the network.
        view_of: returns the views of each of its parameters.
        precision: of matrix products.
        rows: N.
        horizon: H.
        states: `features` and `deter`, as views of longer buffers; None allocates them.

    Attributes:
        features: (H+1, N, F), deter and one-hot latent, operand dtype.
        deter: (H+1, N, D), float32.
        actions: (H, N, A), float32, as ActionKind.sample returns them.
        actor_first: (H, N, U), float32, product of the actor's first layer without bias, columns of wider rows.
    """

    def __init__(  # noqa: PLR0917
        self,
        agent: Agent,
        view_of: ViewOf,
        precision: Precision,
        rows: int,
        horizon: int,
        states: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        size, kind, rssm = agent.size, agent.action, agent.rssm
        self.size, self.kind, self.rows, self.horizon = size, kind, rows, horizon
        operand, device = precision.operand, agent.bins.device

        def buffer(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.features, self.deter = states or (
            buffer(horizon + 1, rows, size.feature, dtype=operand),
            buffer(horizon + 1, rows, size.deter),
        )
        self.actions = buffer(horizon, rows, kind.size)
        self._first = buffer(horizon, rows, size.units + 2 * size.hidden)  # first products of actor, deter and latent
        self.actor_first = self._first[..., : size.units]
        self._core_input = buffer(rows, size.deter + 3 * size.hidden, dtype=operand)
        self._core_pre = buffer(rows, size.deter)
        block = size.deter // size.blocks
        self._core_units = buffer(rows, size.deter, dtype=operand)
        self._gates_pre = None if block <= GATE_TILE else buffer(size.blocks, rows, 3 * block)
        self._actor_hidden, self._actor_pre = buffer(rows, size.units, dtype=operand), buffer(rows, size.units)
        self._prior_hidden, self._prior_pre = buffer(rows, size.hidden, dtype=operand), buffer(rows, size.hidden)

        self._actor, self._prior, from_deter, from_stoch, from_action = (
            Perceptron.of(mlp, view_of, precision)
            for mlp in (agent.actor, rssm.prior_net, rssm.from_deter, rssm.from_stoch, rssm.from_action)
        )
        self._from_deter, self._from_stoch, self._from_action = (
            mlp.layers[0] for mlp in (from_deter, from_stoch, from_action)
        )
        self._core_norm = Norm(view_of(rssm.core.bias).value.flatten(), view_of(rssm.core_norm.scale).value)
        self._gates = Linear(view_of(rssm.gates.weight).low, view_of(rssm.gates.bias).value)

        self._first_weight = buffer(size.units + 2 * size.hidden, size.feature, dtype=operand)
        self._core_weight = buffer(size.deter + 3 * size.hidden, size.deter, dtype=operand)
        self._merged = self._merges(view_of(rssm.core.weight).low)
        self._sizes = self._constants(precision.dot)

    def _merges(self, core: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return pairs (slice of a merged weight, weight that it is a copy of); the other slices stay zero."""
        size, first = self.size, self._first_weight
        of_actor, of_deter, of_stoch = first.split([size.units, size.hidden, size.hidden])
        own, shared = core.split([core.shape[-1], 3 * size.hidden], 1)  # (G, K, K) and (G, 3 U, K)
        to_own, to_shared = self._core_weight.unflatten(1, (size.blocks, -1)).split([size.deter, 3 * size.hidden])
        diagonal = to_own.unflatten(0, (size.blocks, -1)).diagonal(dim1=0, dim2=2).movedim(-1, 0)
        return [
            (of_actor, self._actor.layers[0].weight.low),
            (of_deter[:, : size.deter], self._from_deter.weight.low),
            (of_stoch[:, size.deter :], self._from_stoch.weight.low),
            (diagonal, own),
            (to_shared, shared.transpose(0, 1)),
        ]

    def _constants(self, dot: str) -> RolloutSizes:
        size, kind, block = self.size, self.kind, self.size.deter // self.size.blocks
        widest, classes = max(size.units, size.hidden), triton.next_power_of_2(size.classes)
        return constants(
            RolloutSizes,
            ROWS=self.rows, UNITS=size.units, HIDDEN=size.hidden, HIDDEN_COLUMNS=_columns(size.hidden),
            DETER=size.deter, BLOCK=block, BLOCK_COLUMNS=_columns(block),
            ACTIONS=kind.size, ACTION_COLUMNS=_columns(kind.size), DISCRETE=kind.discrete,
            STOCH=size.stoch, CLASSES=size.classes, CLASS_COLUMNS=classes,
            ACTOR_STRIDE=(self._first[0] if len(self._actor.layers) == 1 else self._actor_pre).stride(0),
            FIRST_STRIDE=self._first.stride(1), CORE_STRIDE=self._core_input.stride(0),
            FEATURE_STRIDE=self.features.stride(1),
            ROW_TILE=ROW_TILE, STOCH_TILE=max(1, min(CLASS_TILE, _columns(size.latent)) // classes),
            TILE=self._tile(widest), PRIOR_TILE=self._tile(size.hidden),
            NORM_TILE=_norm_tile(widest), PRIOR_NORM_TILE=_norm_tile(size.hidden),
            CORE_NORM_TILE=_norm_tile(size.deter),
            UNIMIX=UNIMIX, MIN_STD=MIN_STD, MAX_STD=MAX_STD, EPSILON=RMS_EPSILON, DOT=dot,
        )  # fmt: skip

    @torch.no_grad()
    def prepare(self) -> None:
        """Copy the current weights into the merged ones; five launches."""
        for merged, weight in self._merged:
            merged.copy_(weight)

    @torch.no_grad()
    def run(self, prior_noise: Tensor, action_noise: Tensor) -> None:
        """Compute all steps, after `prepare`.

        Args:
            prior_noise: (H, N, S) in [0, 1), contiguous.
            action_noise: (H, N, noise), contiguous, as in losses.Noise.
        """
        deter = self.size.deter
        self._core_input[:, :deter].copy_(self.features[0, :, :deter])
        for step in range(self.horizon):
            first, feature = self._first[step], self.features[step + 1]
            mm(self.features[step], self._first_weight.t(), out=first)
            actor_pre = first[:, : self.size.units]
            actor_pre = _last_product(self._actor.layers, actor_pre, self._actor_hidden, self._actor_pre)
            self._act_and_units(actor_pre, first, action_noise[step], self.actions[step])
            mm(self._core_input, self._core_weight, out=self._core_pre)
            self._gru(self.deter[step], self.deter[step + 1], feature)
            mm(feature[:, :deter], self._prior.layers[0].weight.low.t(), out=self._prior_pre)
            prior_pre = _last_product(self._prior.layers, self._prior_pre, self._prior_hidden, self._prior_pre)
            self._sample_latent(prior_pre, prior_noise[step], feature)

    def _act_and_units(self, actor_pre: Tensor, first: Tensor, noise: Tensor, action: Tensor) -> None:
        size, output = self.size, self._actor.output
        assert output is not None
        _, deter_pre, stoch_pre = first.split([size.units, size.hidden, size.hidden], 1)
        act_and_units_kernel[triton.cdiv(self.rows, ROW_TILE), 3](
            actor_pre, Norm.of(self._actor.layers[-1]), Linear.of(output), noise, action,
            deter_pre, Norm.of(self._from_deter), stoch_pre, Norm.of(self._from_stoch),
            NormedLinear.of(self._from_action), self._core_input[:, size.deter :], self._sizes,
            num_warps=max(4, _columns(size.hidden) // 64),  # a complete row of the action's units is in registers
        )  # fmt: skip

    def _gru(self, deter: Tensor, next_deter: Tensor, feature: Tensor) -> None:
        size, block = self.size, self.size.deter // self.size.blocks
        states = (deter, next_deter, feature, self._core_input)
        if self._gates_pre is None:
            gru_kernel[triton.cdiv(self.rows, ROW_TILE), size.blocks](
                self._core_pre, self._core_norm, self._gates, *states, self._sizes
            )
            return
        norm_silu(self._core_pre, *self._core_norm, self._core_units)
        by_block = self._core_units.view(self.rows, size.blocks, block).transpose(0, 1)
        bmm(by_block, self._gates.weight, out=self._gates_pre)
        next_deter_kernel[self.rows, size.blocks](self._gates_pre, self._gates.bias, *states, self._sizes, num_warps=2)

    def _sample_latent(self, pre: Tensor, noise: Tensor, feature: Tensor) -> None:
        size, output = self.size, self._prior.output
        assert output is not None
        latent_kernel[triton.cdiv(self.rows, ROW_TILE), triton.cdiv(size.stoch, self._sizes.STOCH_TILE.value)](
            pre, Norm.of(self._prior.layers[-1]), Linear.of(output), noise, feature[:, size.deter :], self._sizes,
            num_warps=CLASS_WARPS,
        )  # fmt: skip

    def _tile(self, width: int) -> int:
        """Return how many of the columns that a program reduces over it takes at once."""
        return min(REDUCED_BYTES // self.features.element_size(), _columns(width))


def _columns(width: int) -> int:
    """Return the least power of two that holds so many columns, at least the 16 that tl.dot takes."""
    return max(16, int(triton.next_power_of_2(width)))


def _norm_tile(width: int) -> int:
    return max(64, _columns(width) // NORM_LOADS)


def _last_product(layers: Sequence[Normed], pre: Tensor, hidden: Tensor, out: Tensor) -> Tensor:
    """Return the product of the last normed layer (N, U), from that of the first; overwrites `hidden` and `out`."""
    for before, layer in pairwise(layers):
        norm_silu(pre, *Norm.of(before), hidden)
        pre = mm(hidden, layer.weight.low.t(), out=out)
    return pre
