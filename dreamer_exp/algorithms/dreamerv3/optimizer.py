"""LaProp with adaptive gradient clipping and warm-up, the published optimiser.

Sources: Ziyin et al., LaProp, arXiv 2002.04839, algorithm 1; Brock et al., arXiv 2102.06171, eq. 3 (clipping, here by
the norm of each whole tensor); constants of Hafner et al., arXiv 2301.04104v2, table of hyperparameters.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

PARAMETER_FLOOR = 1e-3  # a tensor's norm counts as at least this, so that zeros can begin to move
CACHED = 2**16  # numbers; a step reads and writes six tensors of as many
GRADIENT_FLOOR = 1e-12  # so that a gradient of zeros divides nothing by zero


class LaProp(torch.optim.Optimizer):
    """Normalises the gradient by its second moment first, then takes momentum over the normalised gradient.

    Each param group may have an `lr` and a `name` of its own; all else is the same for all. The step count lives on
    the device and state is updated in place, so that a step can be captured in a CUDA graph once `allocate` (or a
    step) has run. `norms` holds each group's gradient norm () before clipping, by the group's name or position.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float = 4e-5,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-20,
        clip: float = 0.3,
        warmup: int = 1000,
    ) -> None:
        # `capturable` is what torch's load_state_dict asks before it moves "step" to the parameter's device
        super().__init__(parameters, {"lr": lr, "capturable": True})
        self.beta1, self.beta2, self.eps, self.clip, self.warmup = beta1, beta2, eps, clip, warmup
        self.norms: dict[str, Tensor] = {}
        self._measured: list[Tensor] = []  # every gradient's norm, until the next step

    def allocate(self) -> None:
        """Makes the state of every parameter that has none yet; "step" is one tensor () that all share."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        known = [self.state[parameter]["step"] for parameter in parameters if self.state.get(parameter)]
        step = known[0] if known else torch.zeros((), device=parameters[0].device)
        for parameter in parameters:
            if not self.state[parameter]:
                zeros = torch.zeros_like(parameter, requires_grad=False)
                self.state[parameter] = {"step": step, "momentum": zeros, "square": torch.zeros_like(zeros)}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copies into the state that is there, which a captured graph may hold."""
        self.allocate()
        held = dict(self.state)
        super().load_state_dict(state_dict)
        for parameter, mine in held.items():
            for name, tensor in mine.items():
                loaded = self.state[parameter].get(name)  # none was saved before the first step
                tensor.zero_() if loaded is None else tensor.copy_(loaded)
            self.state[parameter] = mine

    @torch.no_grad()
    def measure(self) -> None:
        """Fills `norms` ahead of the step, which then clips by them: no gradient may change in between."""
        groups = [[p.grad for p in group["params"] if p.grad is not None] for group in self.param_groups]
        gradients = [gradient for group in groups for gradient in group]
        self._measured = list(torch._foreach_norm(gradients)) if gradients else []
        self._note_norms(groups, self._measured)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """One update of every parameter that has a gradient; `closure` is not supported."""
        if not self._measured:
            self.measure()
        groups = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        parameters = [parameter for group in groups for parameter in group]
        if not parameters:
            return
        self.allocate()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        factors = _clipping_factors(parameters, self._measured, self.clip)
        self._measured = []
        rates, square_correction = self._schedule(self.state[parameters[0]]["step"], parameters[0].dtype)
        lrs = [group["lr"] for group, members in zip(self.param_groups, groups, strict=True) for _ in members]
        for piece in _pieces(parameters):
            self._move(parameters[piece], gradients[piece], factors[piece], lrs[piece], rates, square_correction)

    def _schedule(self, step: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Counts the step; what multiplies lr x momentum (warm-up and bias), and the bias of the root mean square."""
        count = step.add_(1.0).double()
        warm = (count / self.warmup).clamp(max=1.0) if self.warmup else torch.ones_like(count)
        rate = warm / -torch.expm1(count * math.log(self.beta1))
        square_correction = (-torch.expm1(count * math.log(self.beta2))).sqrt()
        return rate.to(dtype), square_correction.to(dtype)

    def _move(  # noqa: PLR0917
        self,
        parameters: list[Tensor],
        gradients: list[Tensor],
        factors: list[Tensor],
        lrs: list[float],
        rate: Tensor,
        square_correction: Tensor,
    ) -> None:
        squares = [self.state[parameter]["square"] for parameter in parameters]
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_mul_(gradients, factors)
        torch._foreach_mul_(squares, self.beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.beta2)
        scaled = list(torch._foreach_sqrt(squares))
        torch._foreach_div_(scaled, square_correction)
        torch._foreach_add_(scaled, self.eps)
        torch._foreach_mul_(momenta, self.beta1)
        torch._foreach_addcdiv_(momenta, gradients, scaled, 1 - self.beta1)
        moves = list(torch._foreach_mul(momenta, lrs))
        torch._foreach_mul_(moves, rate)
        torch._foreach_sub_(parameters, moves)

    def _note_norms(self, groups: list[list[Tensor]], norms: list[Tensor]) -> None:
        first = 0
        for position, (group, members) in enumerate(zip(self.param_groups, groups, strict=True)):
            its = norms[first : first + len(members)]
            first += len(members)
            if its:
                self.norms[group.get("name", str(position))] = torch.stack(its).norm()


def _pieces(parameters: list[Tensor]) -> list[slice]:
    """All tensors at once on a GPU (few launches); on a CPU as many as stay in the cache through the whole step."""
    if parameters[0].device.type != "cpu":
        return [slice(None)]
    starts, held = [0], 0
    for i, parameter in enumerate(parameters):
        if held and held + parameter.numel() > CACHED:
            starts.append(i)
            held = 0
        held += parameter.numel()
    return [slice(start, end) for start, end in itertools.pairwise([*starts, len(parameters)])]


def _clipping_factors(parameters: list[Tensor], norms: list[Tensor], clip: float) -> list[Tensor]:
    """What shrinks each gradient to at most `clip` times its parameter's norm, each ()."""
    limits = torch.stack(torch._foreach_norm(parameters)).clamp(min=PARAMETER_FLOOR) * clip
    return list((limits / torch.stack(norms).clamp(min=GRADIENT_FLOOR)).clamp(max=1.0).unbind())
