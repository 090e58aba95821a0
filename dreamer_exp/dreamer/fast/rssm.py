"""The recurrent state-space model: block-diagonal GRU, categorical latents, posterior and prior.

Source: Hafner et al., arXiv 2301.04104v2, eq. 3 and section "Model sizes" (block-diagonal recurrent weights, RMSNorm,
SiLU); gates and layer order as in danijar/dreamerv3, dreamerv3/rssm.py. What isn't recurrent is computed for all steps
at once: a published layer whose input is a concatenation stays one tensor and is sliced.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.dreamer.fast.layers import BlockLinear, Linear, Mlp, NormSiLU
from dreamer_exp.dreamer.fast.maths import sample_one_hot, unimix_probabilities
from dreamer_exp.dreamer.fast.sizes import NetworkSize


class State(NamedTuple):
    """deter (..., D) and the flattened one-hot stoch (..., S*C)."""

    deter: Tensor
    stoch: Tensor

    @property
    def feature(self) -> Tensor:
        """(..., D + S*C), what the heads see."""
        return torch.cat([self.deter, self.stoch], -1)

    def detach(self) -> "State":
        """The same numbers without their history."""
        return State(self.deter.detach(), self.stoch.detach())


class Rssm(nn.Module):
    """Sequence model, posterior (with observation) and prior (without)."""

    def __init__(self, size: NetworkSize, actions: int, tokens: int) -> None:
        super().__init__()
        self.size = size
        block = size.deter // size.blocks
        self.from_deter = Mlp(size.deter, size.hidden, 1)
        self.from_stoch = Mlp(size.latent, size.hidden, 1)
        self.from_action = Mlp(actions, size.hidden, 1)
        self.core = BlockLinear(size.blocks, block + 3 * size.hidden, block)
        self.core_norm = NormSiLU(size.deter)
        self.gates = BlockLinear(size.blocks, block, 3 * block)
        self.posterior_in = Linear(size.deter + tokens, size.hidden)
        self.posterior_norm = NormSiLU(size.hidden)
        self.posterior_out = Mlp(size.hidden, size.hidden, size.posterior_layers - 1, size.latent)
        self.prior_net = Mlp(size.deter, size.hidden, size.prior_layers, size.latent)

    def initial(self, rows: int) -> State:
        """Zeros (rows, ...)."""
        weight = self.posterior_in.weight
        return State(weight.new_zeros(rows, self.size.deter), weight.new_zeros(rows, self.size.latent))

    def observe(
        self, tokens: Tensor, previous_actions: Tensor, is_first: Tensor, carry: State, uniform: Tensor
    ) -> tuple[State, Tensor]:
        """Filters T steps.

        Args:
            tokens: the encoder's output (B, T, E).
            previous_actions: action that led to each step (B, T, A).
            is_first: 1 where an episode begins (B, T): state and action before it are forgotten.
            carry: state before the first step (B, ...).
            uniform: noise (B, T, S) in [0, 1).

        Returns:
            States (B, T, ...) and the posterior's probabilities (B, T, S, C).
        """
        keep = 1.0 - is_first[..., None]
        action_part = self._action_part(previous_actions * keep)
        token_part = functional.linear(tokens, self.posterior_in.weight[:, self.size.deter :], self.posterior_in.bias)
        deters, stochs, posteriors = [], [], []
        state = carry
        for t in range(tokens.shape[1]):
            deter = self._step(State(state.deter * keep[:, t], state.stoch * keep[:, t]), action_part[:, t])
            posterior = self._posterior(deter, token_part[:, t])
            state = State(deter, sample_one_hot(posterior, uniform[:, t]).flatten(-2))
            deters.append(state.deter)
            stochs.append(state.stoch)
            posteriors.append(posterior)
        return State(torch.stack(deters, 1), torch.stack(stochs, 1)), torch.stack(posteriors, 1)

    def imagine_step(self, state: State, action: Tensor, uniform: Tensor) -> State:
        """One step without an observation: state (N, ...), action (N, A), noise (N, S)."""
        deter = self._step(state, self._action_part(action))
        return State(deter, sample_one_hot(self.prior(deter), uniform).flatten(-2))

    def prior(self, deter: Tensor) -> Tensor:
        """The prior's probabilities (..., S, C)."""
        return self._probabilities(self.prior_net(deter))

    def _action_part(self, actions: Tensor) -> Tensor:
        """What the action adds to the core's pre-activation, (..., D)."""
        scaled = actions / actions.detach().abs().clamp(min=1.0)  # the published guard against actions beyond [-1, 1]
        return self._shared(self.from_action(scaled), 2)

    def _shared(self, x: Tensor, part: int) -> Tensor:
        """The core's product with one of the three inputs that all blocks share: x (..., H) -> (..., D)."""
        block = self.size.deter // self.size.blocks
        first = block + part * self.size.hidden
        weight = self.core.weight[:, first : first + self.size.hidden]  # (G, H, block)
        return x @ weight.transpose(0, 1).reshape(self.size.hidden, self.size.deter)

    def _step(self, state: State, action_part: Tensor) -> Tensor:
        """The next deter (N, D)."""
        rows, blocks = state.deter.shape[0], self.size.blocks
        block = self.size.deter // blocks
        grouped = state.deter.reshape(rows, blocks, block)
        own = torch.baddbmm(self.core.bias[:, None], grouped.transpose(0, 1), self.core.weight[:, :block])
        shared = self._shared(self.from_deter(state.deter), 0) + self._shared(self.from_stoch(state.stoch), 1)
        inner = self.core_norm(own.transpose(0, 1).reshape(rows, self.size.deter) + shared + action_part)
        reset, candidate, update = self.gates(inner.reshape(rows, blocks, block)).chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1.0)
        return (update * candidate + (1.0 - update) * grouped).reshape(rows, self.size.deter)

    def _posterior(self, deter: Tensor, token_part: Tensor) -> Tensor:
        inner = functional.linear(deter, self.posterior_in.weight[:, : self.size.deter]) + token_part
        return self._probabilities(self.posterior_out(self.posterior_norm(inner)))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return unimix_probabilities(logits.unflatten(-1, (self.size.stoch, self.size.classes)))
