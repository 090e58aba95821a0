"""A step of acting on a CPU from weights laid out for products of few rows.

It computes what `Rssm.observe_step` and the actor compute, with about half of their time at size XS and 8 rows:

- Weights are transposed once after each change; a product of few rows with a transposed view takes 1.5 times as long.
- The latent is gathered as rows of a table, where the published layer multiplies a one-hot vector.
- Layers with the same input are one product, and the blocks of the GRU keep their layout from the core to the gates.
- Buffers are reused in place; there is no concatenation of inputs.

16-bit and 8-bit products were measured too. At size XS and 16 rows they are hardly faster than float32, because
converting the activations costs what the products save; at 12M, 8 bits would save half of the products' time.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.algorithms.categorical import draw_classes
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.maths import UNIMIX
from dreamer_exp.algorithms.dreamerv3.networks.layers import RMS_EPSILON, Linear, NormSiLU
from dreamer_exp.algorithms.dreamerv3.world_model.observation import VectorEncoder


class Layer(NamedTuple):
    """A transposed weight (I, O), its bias (O,), and the scale of the norm that follows (O,), or None."""

    weight: Tensor
    bias: Tensor
    scale: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """Return the layer's output (N, O) for x (N, I)."""
        y = torch.addmm(self.bias, x, self.weight)
        return y if self.scale is None else norm_silu_(y, self.scale)


class Packed(NamedTuple):
    """The weights, with D recurrent units in G blocks, U hidden ones, and F of the actor's first layer."""

    encoder: list[Layer]
    from_deter: Tensor  # (D, U)
    from_action: Tensor  # (A, U)
    stoch_table: Tensor  # (S*C, U)
    embedding_bias: Tensor  # (3, U)
    embedding_scale: Tensor  # (3, U)
    core_own: Tensor  # (G, D/G, D/G)
    core_shared: Tensor  # (3*U, D)
    core_bias: Tensor  # (D,)
    core_scale: Tensor  # (G, 1, D/G)
    gates: Tensor  # (G, D/G, 3*D/G)
    gates_bias: Tensor  # (G, 1, 3*D/G)
    heads: Tensor  # (D, U+F), of the posterior's and the actor's first layers
    heads_bias: Tensor  # (U+F,)
    posterior_tokens: Tensor  # (E, U)
    posterior_scale: Tensor  # (U,)
    posterior: list[Layer]
    actor_table: Tensor  # (S*C, F)
    actor_scale: Tensor | None  # (F,)
    actor: list[Layer]


class Step(NamedTuple):
    """What a step returns: deter (N, D), the latent's classes (N, S) and the actor's output (N, outputs)."""

    deter: Tensor
    classes: Tensor
    output: Tensor


class PackedAgent:
    """Steps of an agent on a CPU; its weights can change between steps.

    Args:
        agent: decoder, heads and critics may be missing.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        acting = (agent.encoder, agent.rssm, agent.actor)
        self._parameters = [parameter for part in acting for parameter in part.parameters()]
        self._version = -1
        self._offsets = torch.arange(agent.size.stoch) * agent.size.classes

    def __call__(  # noqa: PLR0917
        self, deter: Tensor, classes: Tensor, keep: Tensor | None, action: Tensor, observation: Tensor, uniform: Tensor
    ) -> Step:
        """Return the step after one observation.

        Args:
            deter: before the observation (N, D).
            classes: of the latent before it (N, S).
            keep: 0 where that latent is zero, as at the start of an episode, else 1 (N, 1); None for ones.
            action: that led to the observation (N, A).
            observation: (N, O).
            uniform: noise (N, S) in [0, 1).
        """
        packed, size = self._weights(), self._agent.size
        tokens = self._tokens(packed, observation)
        deter = self._next_deter(packed, deter, classes, keep, action)
        # (N, U), (N, F)
        posterior, actor = torch.addmm(packed.heads_bias, deter, packed.heads).tensor_split([size.hidden], -1)
        hidden = norm_silu_(torch.addmm(posterior, tokens, packed.posterior_tokens), packed.posterior_scale)
        # (N, S, C)
        logits = _apply(packed.posterior, hidden).unflatten(-1, (size.stoch, size.classes))
        probabilities = functional.softmax(logits, -1).mul_(1.0 - UNIMIX).add_(UNIMIX / size.classes)
        # (N, S)
        classes = draw_classes(probabilities, uniform)
        hidden = self._gather(classes, packed.actor_table).add_(actor)
        if packed.actor_scale is not None:
            hidden = norm_silu_(hidden, packed.actor_scale)
        return Step(deter, classes, _apply(packed.actor, hidden))

    def _weights(self) -> Packed:
        version = sum(parameter._version for parameter in self._parameters)
        if version != self._version:
            self._packed, self._version = pack(self._agent), version
        return self._packed

    def _tokens(self, packed: Packed, observation: Tensor) -> Tensor:
        encoder = self._agent.encoder
        if not isinstance(encoder, VectorEncoder):
            tokens: Tensor = encoder(observation)
            return tokens
        x = torch.copysign(observation.abs().log1p_(), observation) if encoder.squash else observation
        return _apply(packed.encoder, x)

    def _next_deter(
        self, packed: Packed, deter: Tensor, classes: Tensor, keep: Tensor | None, action: Tensor
    ) -> Tensor:
        rows, blocks = len(deter), self._agent.size.blocks
        gathered = self._gather(classes, packed.stoch_table)
        if keep is not None:
            gathered.mul_(keep)
        bounded = action / action.abs().clamp_(min=1.0)
        # (N, 3, U)
        units = torch.stack([deter @ packed.from_deter, gathered, bounded @ packed.from_action], 1)
        units = norm_silu_(units.add_(packed.embedding_bias), packed.embedding_scale)
        # (N, D), (G, N, D/G), (G, N, D/G)
        shared = torch.addmm(packed.core_bias, units.view(rows, -1), packed.core_shared)
        own = deter.view(rows, blocks, -1).transpose(0, 1)
        inner = torch.baddbmm(shared.view(rows, blocks, -1).transpose(0, 1), own, packed.core_own)
        # (N, 1)
        inverse = (inner * inner).sum((0, 2)).div_(deter.shape[-1]).add_(RMS_EPSILON).rsqrt_()[:, None]
        inner = functional.silu(inner.mul_(inverse).mul_(packed.core_scale), inplace=True)
        # three of (G, N, D/G)
        reset, candidate, update = torch.baddbmm(packed.gates_bias, inner, packed.gates).chunk(3, -1)
        candidate = torch.sigmoid(reset).mul_(candidate).tanh_()
        return torch.lerp(own, candidate, torch.sigmoid(update)).transpose(0, 1).reshape(rows, -1)

    def _gather(self, classes: Tensor, table: Tensor) -> Tensor:
        """Return the product of the one-hot latents (N, S*C) with a table (S*C, K)."""
        return functional.embedding_bag(classes + self._offsets, table, mode="sum")


def pack(agent: Agent) -> Packed:
    """Return an agent's weights as `PackedAgent` reads them."""
    rssm, size = agent.rssm, agent.size
    deter, block = size.deter, rssm.block
    (embedding_layers, embedding_norms), actor = rssm._embedding_layers, list(agent.actor)
    from_deter, from_stoch, from_action = (_transposed(layer.weight) for layer in embedding_layers)
    own, shared = rssm.core.weight.split([block, 3 * size.hidden], 1)
    posterior_deter, posterior_tokens = rssm.posterior_in.weight.split([deter, agent.encoder.tokens], 1)
    first = agent.actor.first
    actor_deter, actor_stoch = first.weight.split([deter, size.latent], 1)
    norm = next(iter(actor[1:2]), None)
    return Packed(
        encoder=_layers(agent.encoder) if isinstance(agent.encoder, VectorEncoder) else [],
        from_deter=from_deter,
        from_action=from_action,
        stoch_table=from_stoch,
        embedding_bias=torch.stack([layer.bias for layer in embedding_layers]),
        embedding_scale=torch.stack([norm.scale for norm in embedding_norms]),
        core_own=own,
        core_shared=shared.transpose(0, 1).reshape(3 * size.hidden, deter),
        core_bias=rssm.core.bias.flatten(),
        core_scale=rssm.core_norm.scale.view(size.blocks, 1, block),
        gates=rssm.gates.weight,
        gates_bias=(rssm.gates.bias - rssm.update_offset)[:, None],
        heads=_transposed(torch.cat([posterior_deter, actor_deter])),
        heads_bias=torch.cat([rssm.posterior_in.bias, first.bias]),
        posterior_tokens=_transposed(posterior_tokens),
        posterior_scale=rssm.posterior_norm.scale,
        posterior=_layers(rssm.posterior_out),
        actor_table=_transposed(actor_stoch),
        actor_scale=norm.scale if isinstance(norm, NormSiLU) else None,
        actor=_layers(actor[1:]),
    )


def norm_silu_(x: Tensor, scale: Tensor) -> Tensor:
    """Return SiLU(RMSNorm(x)) over the last axis of x (..., units), computed in place."""
    inverse = torch.linalg.vecdot(x, x).div_(x.shape[-1]).add_(RMS_EPSILON).rsqrt_()
    return functional.silu(x.mul_(inverse[..., None]).mul_(scale), inplace=True)


def _layers(modules: "nn.Sequential | list[nn.Module]") -> list[Layer]:
    """Return the linear layers of an MLP, each with the norm that follows it."""
    found, layers = list(modules), []
    for at, module in enumerate(found):
        if isinstance(module, Linear):
            norm = found[at + 1] if at + 1 < len(found) else None
            scale = norm.scale if isinstance(norm, NormSiLU) else None
            layers.append(Layer(_transposed(module.weight), module.bias, scale))
    return layers


def _apply(layers: list[Layer], x: Tensor) -> Tensor:
    for layer in layers:
        x = layer(x)
    return x


def _transposed(weight: Tensor) -> Tensor:
    return weight.t().contiguous()
