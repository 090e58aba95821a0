"""Recurrent state-space model (RSSM): block-diagonal GRU, categorical latents, posterior and prior.

Source: Hafner et al. 2023 (arXiv:2301.04104v2), eq. 1 and "Model sizes" (block-diagonal recurrent weights, RMSNorm,
SiLU). Gates and layer order follow danijar/dreamerv3, dreamerv3/rssm.py.

`Rssm.observe_step` is one step as published; acting uses it. `Rssm.observe` computes T steps for training, and
`imagination.Imagination` the imagined ones. These two take what is not recurrent out of the loop: a published layer
whose input is a concatenation keeps one weight, which is sliced. At T = 1 the slices cost more than they save, so
acting shares with them what costs nothing: the embedding of actions, the gate and the probabilities.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.algorithms.categorical import draw_classes
from dreamer_exp.algorithms.dreamerv3.maths import unimix_probabilities
from dreamer_exp.algorithms.dreamerv3.networks import hand_written
from dreamer_exp.algorithms.dreamerv3.networks.layers import BlockLinear, Linear, Mlp, NormSiLU, norm_silu
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature, one_hot, sample_rows
from dreamer_exp.algorithms.dreamerv3.networks.time_loop import LoopLatent, LoopLinear, LoopMlp
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize


class State(NamedTuple):
    """Model state: deter (..., D) and the flattened one-hot stoch (..., S*C)."""

    deter: Tensor
    stoch: Tensor

    @property
    def feature(self) -> Tensor:
        """Input of the heads (..., D + S*C)."""
        return torch.cat([self.deter, self.stoch], -1)

    def masked(self, keep: Tensor) -> "State":
        """Return the state reset to zero where `keep` (..., 1) is 0."""
        return State(self.deter * keep, self.stoch * keep)

    def detach(self) -> "State":
        """Return the same values without their autograd history."""
        return State(self.deter.detach(), self.stoch.detach())


class Rssm(nn.Module):
    """Sequence model, posterior (with the observation) and prior (without).

    Args:
        size: of the network.
        actions: A.
        tokens: E.
    """

    update_offset: Tensor

    def __init__(self, size: NetworkSize, actions: int, tokens: int) -> None:
        super().__init__()
        self.size = size
        self.block = size.deter // size.blocks
        self.from_deter = Mlp(size.deter, size.hidden, 1)
        self.from_stoch = Mlp(size.latent, size.hidden, 1)
        self.from_action = Mlp(actions, size.hidden, 1)
        embeddings = (self.from_deter, self.from_stoch, self.from_action)
        # the layers and their norms; in a tuple they are no modules a second time
        self._embedding_layers: tuple[Any, ...] = tuple(zip(*embeddings, strict=True))
        self.core = BlockLinear(size.blocks, self.block + 3 * size.hidden, self.block)
        self.core_norm = NormSiLU(size.deter)
        self.gates = BlockLinear(size.blocks, self.block, 3 * self.block)
        # subtracted from the update gate, so that an untrained model mostly keeps its state
        offset = torch.tensor([0.0, 0.0, 1.0], device="cpu").repeat_interleave(self.block)
        self.register_buffer("update_offset", offset, persistent=False)
        self.posterior_in = Linear(size.deter + tokens, size.hidden)
        self.posterior_norm = NormSiLU(size.hidden)
        self.posterior_out = Mlp(size.hidden, size.hidden, size.posterior_layers - 1, size.latent)
        self.prior_net = Mlp(size.deter, size.hidden, size.prior_layers, size.latent)

    def initial(self, rows: int) -> State:
        """Return the state of zeros at the start of an episode (N, ...)."""
        weight = self.posterior_in.weight
        return State(weight.new_zeros(rows, self.size.deter), weight.new_zeros(rows, self.size.latent))

    def observe_step(self, state: State, action: Tensor, tokens: Tensor, uniform: Tensor) -> tuple[State, Tensor]:
        """Return the posterior state (N, ...) after one observation, and its classes (N, S).

        Args:
            state: before the observation (N, ...), masked where an episode begins.
            action: that led to the observation (N, A), masked likewise.
            tokens: the encoder's output (N, E).
            uniform: noise (N, S) in [0, 1).
        """
        # (N, D)
        deter = self.next_deter(state, action)
        # (N, U)
        hidden = self.posterior_norm(self.posterior_in(torch.cat([deter, tokens], -1)))
        # (N, S, C)
        probabilities = self.probabilities(self.posterior_out(hidden))
        # (N, S)
        classes = draw_classes(probabilities, uniform)
        # (N, S*C)
        stoch = torch.zeros_like(probabilities).scatter_(-1, classes[..., None], 1.0).flatten(-2)
        return State(deter, stoch), classes

    def observe(
        self, tokens: Tensor, previous_actions: Tensor, is_first: Tensor, carry: State, uniform: Tensor
    ) -> tuple[State, Tensor]:
        """Return the posterior states (B, T, ...) and their probabilities (B, T, S, C).

        Args:
            tokens: the encoder's output (B, T, E).
            previous_actions: action that led to each step (B, T, A).
            is_first: 1 where an episode begins (B, T); the state and action before it are masked.
            carry: state before the first step (B, ...).
            uniform: noise (B, T, S) in [0, 1).
        """
        rows, steps = tokens.shape[:2]
        # (T, B, 1)
        keep = (1.0 - is_first).t()[..., None]
        # (T, B, U)
        action_units = self.action_units(previous_actions.transpose(0, 1) * keep)
        transition = Transition(self, steps, rows, action_units)
        posterior_in = self._loop_posterior_in(tokens)
        posterior_out = LoopMlp(self.posterior_out, steps, rows)
        stoch_in, stoch_norm = self.stoch_layers
        latent = LoopLatent(stoch_in, carry.stoch * keep[0], steps)
        uniform = uniform.transpose(0, 1).contiguous()
        deter = carry.deter
        deters: list[Tensor] = []
        posteriors: list[Tensor] = []
        drawn: list[Tensor] = []
        for t in range(steps):
            # (B, U)
            stoch_units = stoch_norm(latent.first() if t == 0 else latent(posteriors[-1], drawn[-1], keep[t]))
            # (B, D)
            deter = transition(deter * keep[t], stoch_units)
            deters.append(deter)
            # (B, S, C)
            posteriors.append(self.probabilities(posterior_out(self.posterior_norm(posterior_in(deter)))))
            # (B, S)
            drawn.append(sample_rows(posteriors[-1], uniform[t]))
        # (B, T, S, C)
        probabilities = torch.stack(posteriors, 1)
        return State(torch.stack(deters, 1), one_hot(torch.stack(drawn, 1), probabilities)), probabilities

    def prior(self, deter: Tensor) -> Tensor:
        """Return the prior's probabilities (..., S, C) for deter (..., D)."""
        return self.probabilities(self.prior_net(deter))

    def feature(self, states: State) -> Tensor | Feature:
        """Return the input of the heads for states (B, T, ...): B*T rows, dense or as a `Feature`."""
        if not hand_written.is_faster(states.deter.device):
            return states.feature.flatten(0, -2)
        # (B, T, S)
        classes = states.stoch.detach().unflatten(-1, (self.size.stoch, self.size.classes)).argmax(-1)
        rows = classes + torch.arange(self.size.stoch, device=classes.device) * self.size.classes
        return Feature.of(states.deter, rows, self.size.latent, states.stoch)

    def action_units(self, actions: Tensor) -> Tensor:
        """Return the embedding (..., U) of actions (..., A), those beyond [-1, 1] scaled back to it."""
        units: Tensor = self.from_action(_bounded(actions))
        return units

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the latent's probabilities (..., S, C) for logits (..., S*C)."""
        return unimix_probabilities(logits.unflatten(-1, (self.size.stoch, self.size.classes)))

    @property
    def stoch_layers(self) -> tuple[Linear, NormSiLU]:
        """The layers that embed stoch."""
        linear, norm = self.from_stoch
        assert isinstance(linear, Linear)
        assert isinstance(norm, NormSiLU)
        return linear, norm

    def next_deter(self, state: State, action: Tensor) -> Tensor:
        """Return h_t = f(h_{t-1}, z_{t-1}, a_{t-1}) (N, D) of eq. 1, in the published layout."""
        blocks = self.size.blocks
        # (N, 3*U)
        shared = self._embed(state, action)
        # (N, G, D/G)
        deter = state.deter.unflatten(-1, (blocks, -1))
        # (N, G, D/G + 3*U) -> (N, G, D/G)
        inner = self.core(torch.cat([deter, shared[:, None].expand(-1, blocks, -1)], -1))
        # (N, G, 3*D/G)
        gates = self.gates(self.core_norm(inner.flatten(-2)).view_as(deter))
        reset, candidate, update = gates.chunk(3, -1)
        return gated_update(deter, reset, candidate, update - 1.0).flatten(-2)

    def _embed(self, state: State, action: Tensor) -> Tensor:
        """Return the embeddings of deter, stoch and action (N, 3*U) without a gradient; their norms are one."""
        layers, norms = self._embedding_layers
        inputs = (state.deter, state.stoch, _bounded(action))
        # (N, 3*U)
        units = torch.cat([layer(x) for layer, x in zip(layers, inputs, strict=True)], -1)
        # (3, U)
        scales = torch.cat([norm.scale for norm in norms]).view(3, -1)
        return norm_silu(units.view(-1, *scales.shape), scales).flatten(1)

    def _loop_posterior_in(self, tokens: Tensor) -> LoopLinear:
        """Return the posterior's first layer for a loop over deter (B, D); tokens (B, T, E) enter ahead of it."""
        deter_weight, token_weight = self.posterior_in.weight.split([self.size.deter, tokens.shape[-1]], 1)
        # (T, B, U)
        token_part = functional.linear(tokens.transpose(0, 1), token_weight, self.posterior_in.bias)
        return LoopLinear(deter_weight.t(), token_part)


class Transition:
    """The sequence model inside a loop over time: each call is the next step.

    The core's input is the concatenation of a block's own part of deter and the embeddings of deter, stoch and action,
    which all blocks share. Its weight is sliced accordingly, so that the shared part is one product.

    Args:
        rssm: the model.
        steps: T.
        rows: N.
        action_units: embedded actions of all steps (T, N, U), or None if each call passes its own.
    """

    def __init__(self, rssm: Rssm, steps: int, rows: int, action_units: Tensor | None = None) -> None:
        self.rssm = rssm
        size, block = rssm.size, rssm.block
        # (G, D/G, D/G), (G, 2*U, D/G), (G, U, D/G)
        own, shared, action = rssm.core.weight.split([block, 2 * size.hidden, size.hidden], 1)
        # (2*U, D), (U, D), (D,)
        shared, action = _across_blocks(shared), _across_blocks(action)
        bias = rssm.core.bias.flatten()
        if action_units is None:
            self.shared = LoopLinear(torch.cat([shared, action]), bias.expand(steps, rows, -1))
        else:
            self.shared = LoopLinear(shared, action_units @ action + bias)
        self.own = LoopLinear(own, own.new_zeros(()).expand(steps, size.blocks, rows, block))
        self.from_deter = LoopMlp(rssm.from_deter, steps, rows)
        # (G, 3*D/G)
        gates_bias = rssm.gates.bias - rssm.update_offset
        self.gates = LoopLinear(rssm.gates.weight, gates_bias[:, None].expand(steps, size.blocks, rows, -1))

    def __call__(self, deter: Tensor, *units: Tensor) -> Tensor:
        """Return the next deter (N, D).

        Args:
            deter: the last one (N, D), masked where an episode begins.
            units: embedded stoch (N, U), and embedded action (N, U) if they were not given ahead.
        """
        rssm, blocks = self.rssm, self.rssm.size.blocks
        # (N, D)
        shared = self.shared(torch.cat([self.from_deter(deter), *units], -1))
        own = _from_blocks(self.own(_to_blocks(deter, blocks)))
        inner = rssm.core_norm(shared + own)
        # (G, N, 3, D/G) -> (3, N, G, D/G) -> three of (N, D)
        gates = self.gates(_to_blocks(inner, blocks)).to(deter.dtype).unflatten(-1, (3, rssm.block))
        reset, candidate, update = gates.permute(2, 1, 0, 3).reshape(3, *deter.shape).unbind(0)
        return gated_update(deter, reset, candidate, update)


def gated_update(deter: Tensor, reset: Tensor, candidate: Tensor, update: Tensor) -> Tensor:
    """Return the GRU's next state from its gates before their activations, all of the same shape.

    The update gate comes with its offset of -1 (danijar/dreamerv3, dreamerv3/rssm.py).
    """
    candidate = torch.tanh(torch.sigmoid(reset) * candidate)
    return torch.lerp(deter, candidate, torch.sigmoid(update))


def _bounded(actions: Tensor) -> Tensor:
    """Return actions (..., A), those beyond [-1, 1] scaled back to it."""
    return actions / actions.abs().clamp(min=1.0)


def _across_blocks(weight: Tensor) -> Tensor:
    """Return a weight (G, I, D/G) whose input all blocks share as one of (I, D)."""
    return weight.transpose(0, 1).reshape(weight.shape[1], -1)


def _to_blocks(x: Tensor, blocks: int) -> Tensor:
    """Return x (N, D) as (G, N, D/G)."""
    grouped: Tensor = x.unflatten(-1, (blocks, -1)).transpose(0, 1)
    return grouped


def _from_blocks(x: Tensor) -> Tensor:
    """Return x (G, N, D/G) as (N, D)."""
    return x.transpose(0, 1).flatten(1)
