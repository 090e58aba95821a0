"""The recurrent state-space model: block-diagonal GRU, categorical latents, posterior and prior.

Source: Hafner et al., arXiv 2301.04104v2, eq. 3 and section "Model sizes" (block-diagonal recurrent weights, RMSNorm,
SiLU); gates and layer order as in danijar/dreamerv3, dreamerv3/rssm.py. What isn't recurrent is computed for all steps
at once: a published layer whose input is a concatenation stays one tensor and is sliced.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.maths import unimix_probabilities
from dreamer_exp.algorithms.dreamerv3.networks.device import hand_written_pays
from dreamer_exp.algorithms.dreamerv3.networks.layers import BlockLinear, Linear, Mlp, NormSiLU
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature, LoopGather, gather_sum, one_hot, sample_rows
from dreamer_exp.algorithms.dreamerv3.networks.time_loop import LoopLinear
from dreamer_exp.config.sizes import NetworkSize


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

    update_offset: Tensor

    def __init__(self, size: NetworkSize, actions: int, tokens: int) -> None:
        super().__init__()
        self.size = size
        self.block = size.deter // size.blocks
        self.from_deter = Mlp(size.deter, size.hidden, 1)
        self.from_stoch = Mlp(size.latent, size.hidden, 1)
        self.from_action = Mlp(actions, size.hidden, 1)
        self.core = BlockLinear(size.blocks, self.block + 3 * size.hidden, self.block)
        self.core_norm = NormSiLU(size.deter)
        self.gates = BlockLinear(size.blocks, self.block, 3 * self.block)
        offset = torch.tensor([0.0, 0.0, 1.0]).repeat_interleave(self.block)  # of the update gate: keep, to begin with
        self.register_buffer("update_offset", offset, persistent=False)
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
        steps, rows = tokens.shape[1], tokens.shape[0]
        keep = (1.0 - is_first).t()[..., None]  # (T, B, 1)
        own, shared, of_action = self._core_weights()
        actions = self._action_units(previous_actions.transpose(0, 1) * keep) @ of_action  # (T, B, D)
        core = _Core(self, own, shared, actions, steps, rows)
        to_deter, token_weight = self.posterior_in.weight.split([self.size.deter, tokens.shape[-1]], 1)
        token_part = functional.linear(tokens.transpose(0, 1), token_weight, self.posterior_in.bias)
        posterior: Layers = [(LoopLinear(to_deter.t(), token_part), self.posterior_norm)]
        posterior += _loop_layers(self.posterior_out, steps, rows)
        stoch_part = _StochPart(self.from_stoch, carry.stoch * keep[0], steps)
        uniform = uniform.transpose(0, 1).contiguous()
        deter = carry.deter
        deters: list[Tensor] = []
        drawn: list[Tensor] = []
        posteriors: list[Tensor] = []
        for t in range(steps):
            stoch_units = stoch_part.first() if t == 0 else stoch_part(posteriors[-1], drawn[-1], keep[t])
            deter = core(deter * keep[t], self.from_stoch[1](stoch_units))
            deters.append(deter)
            posteriors.append(self._probabilities(_run(posterior, deter)))
            drawn.append(sample_rows(posteriors[-1], uniform[t]))
        probabilities = torch.stack(posteriors, 1)
        return State(torch.stack(deters, 1), one_hot(torch.stack(drawn, 1), probabilities)), probabilities

    def feature(self, states: State) -> Tensor | Feature:
        """What the heads see of the states (B, T, ...): (B*T, ...)."""
        if not hand_written_pays(states.deter.device):
            return states.feature.flatten(0, -2)
        chosen = states.stoch.detach().unflatten(-1, (self.size.stoch, self.size.classes)).argmax(-1)
        rows = chosen + torch.arange(self.size.stoch, device=chosen.device) * self.size.classes
        return Feature.of(states.deter, rows, self.size.latent, states.stoch)

    def prior(self, deter: Tensor) -> Tensor:
        """The prior's probabilities (..., S, C)."""
        return self._probabilities(self.prior_net(deter))

    def _core_weights(self) -> tuple[Tensor, Tensor, Tensor]:
        """The core's weight in products: of each block's own deter (G, block, block), and of the inputs that all
        blocks share, units of deter and stoch (2 H, D) and of action (H, D)."""
        hidden, deter = self.size.hidden, self.size.deter
        own, shared, action = self.core.weight.split([self.block, 2 * hidden, hidden], 1)
        return own, shared.transpose(0, 1).reshape(2 * hidden, deter), action.transpose(0, 1).reshape(hidden, deter)

    def _action_units(self, actions: Tensor) -> Tensor:
        scaled = actions / actions.detach().abs().clamp(min=1.0)  # the published guard against actions beyond [-1, 1]
        units: Tensor = self.from_action(scaled)
        return units

    def _probabilities(self, logits: Tensor) -> Tensor:
        return unimix_probabilities(logits.unflatten(-1, (self.size.stoch, self.size.classes)))


Layers = list[tuple[LoopLinear, nn.Module | None]]


def _loop_layers(mlp: Mlp, steps: int, rows: int) -> Layers:
    """An MLP's layers for a loop, each with the norm that follows it."""
    modules = [*mlp, None]
    return [
        (LoopLinear(module.weight.t(), module.bias.expand(steps, rows, -1)), modules[i + 1])
        for i, module in enumerate(modules)
        if isinstance(module, Linear)
    ]


def _run(layers: Layers, x: Tensor) -> Tensor:
    for linear, norm in layers:
        x = linear(x) if norm is None else norm(linear(x))
    return x


class _Core:
    """The sequence model's step: the next deter from deter, the units of stoch and (as addend or units) the action."""

    def __init__(  # noqa: PLR0917
        self, rssm: Rssm, own: Tensor, shared: Tensor, addend: Tensor | None, steps: int, rows: int
    ) -> None:
        self.rssm = rssm
        blocks = rssm.size.blocks
        bias = rssm.core.bias.flatten()
        self.from_deter = _loop_layers(rssm.from_deter, steps, rows)
        self.shared = LoopLinear(shared, bias.expand(steps, rows, -1) if addend is None else addend + bias)
        self.own = LoopLinear(own, own.new_zeros(()).expand(steps, blocks, rows, rssm.block))
        towards_keeping = rssm.gates.bias - rssm.update_offset  # (G, 3 block)
        self.gates = LoopLinear(rssm.gates.weight, towards_keeping[:, None].expand(steps, blocks, rows, -1))

    def __call__(self, deter: Tensor, *units: Tensor) -> Tensor:
        """deter (N, D), units of stoch, and of action unless it is the addend, (N, H) each -> (N, D)."""
        rssm = self.rssm
        shared = self.shared(torch.cat([_run(self.from_deter, deter), *units], -1))
        own = self.own(_to_blocks(deter, rssm.size.blocks))
        inner = rssm.core_norm(shared + _from_blocks(own))
        gates = self.gates(_to_blocks(inner, rssm.size.blocks)).to(deter.dtype).unflatten(-1, (3, rssm.block))
        reset, candidate, update = gates.permute(2, 1, 0, 3).reshape(3, *deter.shape).unbind(0)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        return torch.lerp(deter, candidate, torch.sigmoid(update))


def _to_blocks(x: Tensor, blocks: int) -> Tensor:
    """(N, D) -> (G, N, block)."""
    grouped: Tensor = x.unflatten(-1, (blocks, -1)).transpose(0, 1)
    return grouped


def _from_blocks(x: Tensor) -> Tensor:
    """(G, N, block) -> (N, D)."""
    return x.transpose(0, 1).flatten(1)


class _StochPart:
    """The first layer that the latent enters, in the filter's loop: gathered or dense."""

    def __init__(self, from_stoch: Mlp, carry: Tensor, steps: int) -> None:
        layer = from_stoch[0]
        assert isinstance(layer, Linear)
        self.gathers = steps > 1 and hand_written_pays(carry.device)  # acting takes one step, of dense states
        first = functional.linear(carry, layer.weight, layer.bias)  # the carried latent needn't be one-hot: zeros
        later = layer.bias.expand(steps - 1, *first.shape)
        if self.gathers:
            self.gather = LoopGather(layer.weight.t(), torch.cat([first[None], later]))
        else:
            self._first, self.linear = first, LoopLinear(layer.weight.t(), later)

    def first(self) -> Tensor:
        return self.gather.first() if self.gathers else self._first

    def __call__(self, probabilities: Tensor, rows: Tensor, keep: Tensor) -> Tensor:
        if self.gathers:
            return self.gather(probabilities, rows, keep)
        return self.linear(one_hot(rows, probabilities) * keep)


class Dream:
    """Imagined steps from start states (N, ...) on, without gradient; at most `steps` of them."""

    def __init__(self, rssm: Rssm, start: State, steps: int) -> None:
        self.rssm, self.deter, self.stoch = rssm, start.deter, start.stoch
        own, shared, of_action = rssm._core_weights()
        self.core = _Core(rssm, own, torch.cat([shared, of_action]), None, steps, len(start.deter))
        feature = rssm.feature(start)
        self.rows = feature.rows if isinstance(feature, Feature) else None
        layer = rssm.from_stoch[0]
        assert isinstance(layer, Linear)
        self.table, self.bias = layer.weight.t().contiguous(), layer.bias

    @property
    def feature(self) -> Tensor | Feature:
        """What the heads see now (N, ...)."""
        if self.rows is None:
            return torch.cat([self.deter, self.stoch], -1)
        return Feature.of(self.deter, self.rows, self.rssm.size.latent)

    def step(self, action: Tensor, uniform: Tensor) -> None:
        """Moves on by an action (N, A), with noise (N, S)."""
        rssm = self.rssm
        stoch = self.stoch @ self.table if self.rows is None else gather_sum(self.rows, self.table)
        self.deter = self.core(self.deter, rssm.from_stoch[1](stoch + self.bias), rssm._action_units(action))
        prior = rssm.prior(self.deter)
        rows = sample_rows(prior, uniform)
        if self.rows is None:
            self.stoch = one_hot(rows, prior)
        else:
            self.rows = rows
