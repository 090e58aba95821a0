"""LaProp with adaptive gradient clipping and warm-up, the published optimiser, and a decay of the learning rate.

Sources: Ziyin et al., LaProp, arXiv 2002.04839, algorithm 1; Brock et al., arXiv 2102.06171, eq. 3 for the clipping,
which compares norms of complete tensors here; Hafner et al., arXiv:2301.04104v2, hyperparameters, for the constants.
"""

import itertools
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

DECAYED = 0.1  # factor of the learning rate after its decay
PARAMETER_FLOOR = 1e-3  # least norm of a parameter in clipping, so that zeros can start to move
GRADIENT_FLOOR = 1e-12  # least norm of a gradient in clipping, against a division by zero
CACHED = 2**16  # parameters in a slice on a CPU; a step reads and writes six tensors of this size


class LaProp(torch.optim.Optimizer):
    """Optimiser that normalises gradients by their second moment before it accumulates momentum.

    Parameter groups may differ in `lr` and have a `name`. The step count is on the device and state is updated in
    place: a step can be captured in a CUDA graph once `allocate`, or another step, has run.

    Args:
        parameters: or parameter groups.
        lr: learning rate of groups without one.
        beta1: decay of the momentum.
        beta2: decay of the second moment.
        eps: added to the root of the second moment.
        clip: largest norm of a gradient, as a multiple of its parameter's norm.
        warmup: steps over which the learning rate rises linearly; 0 for none.
        decay: steps at which the learning rate begins to fall and at which it has fallen, linearly, to DECAYED of
            itself; with an end of 0 it never falls.

    Attributes:
        norms: gradient norm () of each group before clipping, by the group's name, or its position as text.
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
        decay: tuple[int, int] = (0, 0),
    ) -> None:
        # torch's load_state_dict moves "step" to the parameter's device only if `capturable` is set
        super().__init__(parameters, {"lr": lr, "capturable": True})
        self.beta1, self.beta2, self.eps, self.clip, self.warmup = beta1, beta2, eps, clip, warmup
        self.decay = decay
        self.norms: dict[str, Tensor] = {}
        self._measured: list[Tensor] = []  # norm of every gradient, until the next step

    def allocate(self) -> None:
        """Create the state of parameters that have none; "step" is one tensor () that all share."""
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        known = [self.state[parameter]["step"] for parameter in parameters if self.state.get(parameter)]
        step = known[0] if known else torch.zeros((), device=parameters[0].device)
        for parameter in parameters:
            if not self.state[parameter]:
                zeros = torch.zeros_like(parameter, requires_grad=False)
                self.state[parameter] = {"step": step, "momentum": zeros, "square": torch.zeros_like(zeros)}

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Copy a saved state into the existing tensors, which a captured graph may refer to."""
        self.allocate()
        existing = dict(self.state)
        super().load_state_dict(state_dict)
        for parameter, state in existing.items():
            for name, tensor in state.items():
                loaded = self.state[parameter].get(name)  # missing if saved before the first step
                tensor.zero_() if loaded is None else tensor.copy_(loaded)
            self.state[parameter] = state

    @torch.no_grad()
    def measure(self) -> None:
        """Compute `norms`, by which the next step will clip; gradients must not change in between."""
        groups = [[p.grad for p in group["params"] if p.grad is not None] for group in self.param_groups]
        gradients = [gradient for group in groups for gradient in group]
        self._measured = list(torch._foreach_norm(gradients)) if gradients else []
        self._set_norms(groups, self._measured)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """Update every parameter that has a gradient; `closure` is not supported."""
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
        for part in _slices(parameters):
            self._apply(parameters[part], gradients[part], factors[part], lrs[part], rates, square_correction)

    def _schedule(self, step: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Count the step; return the factor of lr * momentum, and the bias correction of the root mean square, both ().

        The factor combines warm-up, decay and the bias correction of the momentum.
        """
        count = step.add_(1.0).double()
        warm = (count / self.warmup).clamp(max=1.0) if self.warmup else torch.ones_like(count)
        start, end = self.decay
        if end:
            warm = warm * (1 - (1 - DECAYED) * ((count - start) / (end - start)).clamp(0.0, 1.0))
        rate = warm / -torch.expm1(count * math.log(self.beta1))
        square_correction = (-torch.expm1(count * math.log(self.beta2))).sqrt()
        return rate.to(dtype), square_correction.to(dtype)

    def _apply(  # noqa: PLR0917
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
        changes = list(torch._foreach_mul(momenta, lrs))
        torch._foreach_mul_(changes, rate)
        torch._foreach_sub_(parameters, changes)

    def _set_norms(self, groups: list[list[Tensor]], norms: list[Tensor]) -> None:
        first = 0
        for position, (group, members) in enumerate(zip(self.param_groups, groups, strict=True)):
            group_norms = norms[first : first + len(members)]
            first += len(members)
            if group_norms:
                self.norms[group.get("name", str(position))] = torch.stack(group_norms).norm()


def _slices(parameters: list[Tensor]) -> list[slice]:
    """Return the parts in which a step handles parameters.

    On a GPU this is all of them, for few launches; on a CPU as many as stay in the cache during the step.
    """
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
    """Return factors () that shrink each gradient to at most `clip` times its parameter's norm."""
    limits = torch.stack(torch._foreach_norm(parameters)).clamp(min=PARAMETER_FLOOR) * clip
    return list((limits / torch.stack(norms).clamp(min=GRADIENT_FLOOR)).clamp(max=1.0).unbind())
