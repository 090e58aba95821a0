"""The imagination of the actor and critic's update: steps from N start states on, without gradient.

A step is three matrix products and three kernels (dream_kernels.py). Every further layer of the actor or the prior adds
a product and a norm; so do gates whose blocks are more than one program holds. The maths is Imagination's and
losses.imagine's.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import triton
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.actor import MAX_STD, MIN_STD
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron
from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.kernels import (
    act_and_units_kernel,
    advance_kernel,
    draw_kernel,
    gru_kernel,
)
from dreamer_exp.algorithms.dreamerv3.backends.fused.norm import norm_silu
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Leaf
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import Normed, full
from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, bmm, mm

ROW_TILE = 16  # rows a program; tl.dot's least
# What follows was tuned on an H200, for sizes XS and 12M.
REDUCED_BYTES = 128  # of an operand's row that a program multiplies at once
NORM_LOADS = 4  # for the squares of a row
GATE_TILE = 64  # units of the largest block whose gates one program computes
CLASS_TILE, CLASS_WARPS = 64, 1  # logits that a program draws from, whole categoricals


class Dream:
    """H imagined steps of N rows. The caller writes step 0 of `features` and `deter`; `run` writes the rest.

    features (H+1, N, F): deter and one-hot latent, operands. deter (H+1, N, D): float32. Both may be given, as views
    of a longer buffer whose owner writes step 0. actions (H, N, A): float32,
    as ActionKind.sample gives them. actor_first (H, N, U): the actor's first layer's product without bias, float32, a
    slice of wider rows.
    """

    def __init__(  # noqa: PLR0917
        self,
        agent: Agent,
        leaf: Callable[[nn.Parameter], Leaf],
        precision: Precision,
        rows: int,
        horizon: int,
        states: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        size, kind, rssm = agent.size, agent.action, agent.rssm
        self.size, self.kind, self.dot, self.rows, self.horizon = size, kind, precision.dot, rows, horizon
        operand, device = precision.operand, agent.bins.device

        def buffer(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.features, self.deter = states or (
            buffer(horizon + 1, rows, size.feature, dtype=operand),
            buffer(horizon + 1, rows, size.deter),
        )
        self.actions = buffer(horizon, rows, kind.size)
        self._first = buffer(horizon, rows, size.units + 2 * size.hidden)  # of the actor, of deter, of the latent
        self.actor_first = self._first[..., : size.units]
        self._core_input = buffer(rows, size.deter + 3 * size.hidden, dtype=operand)
        self._core_pre = buffer(rows, size.deter)
        block = size.deter // size.blocks
        self._core_units = buffer(rows, size.deter, dtype=operand)
        self._gates_pre = None if block <= GATE_TILE else buffer(size.blocks, rows, 3 * block)
        self._actor_hidden, self._actor_pre = buffer(rows, size.units, dtype=operand), buffer(rows, size.units)
        self._prior_hidden, self._prior_pre = buffer(rows, size.hidden, dtype=operand), buffer(rows, size.hidden)

        self._actor, self._prior, from_deter, from_stoch, from_action = (
            Perceptron.of(mlp, leaf, precision)
            for mlp in (agent.actor, rssm.prior_net, rssm.from_deter, rssm.from_stoch, rssm.from_action)
        )
        self._from_deter, self._from_stoch, self._from_action = (
            mlp.layers[0] for mlp in (from_deter, from_stoch, from_action)
        )
        self._core_bias, self._core_scale = leaf(rssm.core.bias).value.flatten(), leaf(rssm.core_norm.scale).value
        self._gates, self._gates_bias = leaf(rssm.gates.weight).low, leaf(rssm.gates.bias).value

        self._first_weight = buffer(size.units + 2 * size.hidden, size.feature, dtype=operand)
        self._core_weight = buffer(size.deter + 3 * size.hidden, size.deter, dtype=operand)
        self._merged = self._merges(leaf(rssm.core.weight).low)

    def _merges(self, core: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Which parts of the merged weights are copies of which weights; the rest of them stays zero."""
        size, first = self.size, self._first_weight
        of_actor, of_deter, of_stoch = first.split([size.units, size.hidden, size.hidden])
        own, shared = core.split([core.shape[-1], 3 * size.hidden], 1)  # (G, K, K) and (G, 3 H, K)
        to_own, to_shared = self._core_weight.unflatten(1, (size.blocks, -1)).split([size.deter, 3 * size.hidden])
        diagonal = to_own.unflatten(0, (size.blocks, -1)).diagonal(dim1=0, dim2=2).movedim(-1, 0)
        return [
            (of_actor, self._actor.layers[0].weight.low),
            (of_deter[:, : size.deter], self._from_deter.weight.low),
            (of_stoch[:, size.deter :], self._from_stoch.weight.low),
            (diagonal, own),
            (to_shared, shared.transpose(0, 1)),
        ]

    @torch.no_grad()
    def prepare(self) -> None:
        """Takes over the weights as they are now; five launches."""
        for merged, weight in self._merged:
            merged.copy_(weight)

    @torch.no_grad()
    def run(self, prior_noise: Tensor, action_noise: Tensor) -> None:
        """All steps, with noise (H, N, S) in [0, 1) and (H, N, noise), contiguous, as in losses.Noise."""
        deter = self.size.deter
        self._core_input[:, :deter].copy_(self.features[0, :, :deter])
        for step in range(self.horizon):
            first, feature = self._first[step], self.features[step + 1]
            mm(self.features[step], self._first_weight.t(), out=first)
            actor_pre = first[:, : self.size.units]
            actor_pre = _deeper(self._actor.layers, actor_pre, self._actor_hidden, self._actor_pre)
            self._act_and_units(actor_pre, first, action_noise[step], self.actions[step])
            mm(self._core_input, self._core_weight, out=self._core_pre)
            self._gru(self.deter[step], self.deter[step + 1], feature)
            mm(feature[:, :deter], self._prior.layers[0].weight.low.t(), out=self._prior_pre)
            prior_pre = _deeper(self._prior.layers, self._prior_pre, self._prior_hidden, self._prior_pre)
            self._draw(prior_pre, prior_noise[step], feature)

    def _act_and_units(self, actor_pre: Tensor, first: Tensor, noise: Tensor, action: Tensor) -> None:
        size, kind = self.size, self.kind
        last, out = self._actor.layers[-1], self._actor.output
        assert out is not None
        _, deter_pre, stoch_pre = first.split([size.units, size.hidden, size.hidden], 1)
        from_deter, from_stoch, from_action = self._from_deter, self._from_stoch, self._from_action
        act_and_units_kernel[triton.cdiv(self.rows, ROW_TILE), 3](
            actor_pre, *full(last), out.weight.low, out.bias.value, noise, action,
            deter_pre, *full(from_deter), stoch_pre, *full(from_stoch),
            from_action.weight.low, *full(from_action), self._core_input[:, size.deter :],
            ROWS=self.rows, ACTOR_STRIDE=actor_pre.stride(0), PRE_STRIDE=first.stride(0),
            OUT_STRIDE=self._core_input.stride(0), UNITS=size.units, HIDDEN=size.hidden,
            HIDDEN_COLUMNS=_columns(size.hidden), ACTIONS=kind.size, DISCRETE=kind.discrete,
            ACTION_COLUMNS=_columns(kind.size), ROW_TILE=ROW_TILE, TILE=self._tile(max(size.units, size.hidden)),
            NORM_TILE=_norm_tile(max(size.units, size.hidden)),
            UNIMIX=UNIMIX, MIN_STD=MIN_STD, MAX_STD=MAX_STD, EPSILON=RMS_EPSILON, DOT=self.dot,
            num_warps=max(4, _columns(size.hidden) // 64),  # a whole row of the action's units lies in registers
        )  # fmt: skip

    def _gru(self, deter: Tensor, next_deter: Tensor, feature: Tensor) -> None:
        size, block = self.size, self.size.deter // self.size.blocks
        to = (deter, next_deter, feature, self._core_input)
        strides = {"FEATURE_STRIDE": feature.stride(0), "CORE_STRIDE": self._core_input.stride(0)}
        if self._gates_pre is None:
            gru_kernel[triton.cdiv(self.rows, ROW_TILE), size.blocks](
                self._core_pre, self._core_bias, self._core_scale, self._gates, self._gates_bias, *to,
                ROWS=self.rows, DETER=size.deter, BLOCK=block, **strides, ROW_TILE=ROW_TILE, TILE=_columns(block),
                NORM_TILE=_norm_tile(size.deter), EPSILON=RMS_EPSILON, DOT=self.dot,
            )  # fmt: skip
            return
        norm_silu(self._core_pre, self._core_bias, self._core_scale, self._core_units)
        bmm(self._core_units.view(self.rows, size.blocks, block).transpose(0, 1), self._gates, out=self._gates_pre)
        advance_kernel[self.rows, size.blocks](
            self._gates_pre, self._gates_bias, *to,
            ROWS=self.rows, DETER=size.deter, BLOCK=block, **strides, TILE=_columns(block), num_warps=2,
        )  # fmt: skip

    def _draw(self, pre: Tensor, noise: Tensor, feature: Tensor) -> None:
        size, last, out = self.size, self._prior.layers[-1], self._prior.output
        assert out is not None
        classes = triton.next_power_of_2(size.classes)
        stoch = max(1, min(CLASS_TILE, _columns(size.latent)) // classes)
        draw_kernel[triton.cdiv(self.rows, ROW_TILE), triton.cdiv(size.stoch, stoch)](
            pre, *full(last), out.weight.low, out.bias.value, noise, feature[:, size.deter :],
            ROWS=self.rows, STRIDE=feature.stride(0), HIDDEN=size.hidden, STOCH=size.stoch, CLASSES=size.classes,
            CLASS_COLUMNS=classes, STOCH_TILE=stoch, ROW_TILE=ROW_TILE, TILE=self._tile(size.hidden),
            NORM_TILE=_norm_tile(size.hidden), UNIMIX=UNIMIX, EPSILON=RMS_EPSILON, DOT=self.dot, num_warps=CLASS_WARPS,
        )  # fmt: skip

    def _tile(self, width: int) -> int:
        """How many of the columns that a program reduces over it takes at once."""
        return min(REDUCED_BYTES // self.features.element_size(), _columns(width))


def _columns(width: int) -> int:
    """The power of two that holds so many columns, at least tl.dot's 16."""
    return max(16, int(triton.next_power_of_2(width)))


def _norm_tile(width: int) -> int:
    return max(64, _columns(width) // NORM_LOADS)


def _deeper(layers: Sequence[Normed], pre: Tensor, hidden: Tensor, out: Tensor) -> Tensor:
    """The last hidden layer's raw product (N, O) from that of the first; overwrites `hidden` and `out`."""
    for before, layer in pairwise(layers):
        norm_silu(pre, *full(before), hidden)
        pre = mm(hidden, layer.weight.low.t(), out=out)
    return pre
