"""LaProp with adaptive gradient clipping and warm-up, the published optimiser.

Sources: Ziyin et al., LaProp, arXiv 2002.04839, algorithm 1; Brock et al., arXiv 2102.06171, eq. 3 (clipping, here by
the norm of each whole tensor); constants of Hafner et al., arXiv 2301.04104v2, table of hyperparameters.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

PARAMETER_FLOOR = 1e-3  # a tensor's norm counts as at least this, so that zeros can begin to move


class LaProp(torch.optim.Optimizer):
    """Normalises the gradient by its second moment first, then takes momentum over the normalised gradient."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float = 4e-5,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-20,
        clip: float = 0.3,
        warmup: int = 1000,
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "beta1": beta1, "beta2": beta2, "eps": eps, "clip": clip, "warmup": warmup}
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # no closures here
        """One update of every parameter that has a gradient; `closure` is not supported."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._step_group(group, parameters)

    def _step_group(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        lr, beta1, beta2, eps, clip, warmup = (group[k] for k in ("lr", "beta1", "beta2", "eps", "clip", "warmup"))
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        _clip_adaptively(parameters, gradients, clip)
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["momentum"] = torch.zeros_like(parameter)
                state["square"] = torch.zeros_like(parameter)
            state["step"] += 1
        step = self.state[parameters[0]]["step"]
        squares = [self.state[parameter]["square"] for parameter in parameters]
        momenta = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        scaled = torch._foreach_sqrt(torch._foreach_div(squares, 1 - beta2**step))
        torch._foreach_add_(scaled, eps)
        torch._foreach_lerp_(momenta, torch._foreach_div(gradients, list(scaled)), 1 - beta1)
        rate = lr * min(1.0, step / warmup) if warmup else lr
        torch._foreach_add_(parameters, momenta, alpha=-rate / (1 - beta1**step))


def _clip_adaptively(parameters: list[Tensor], gradients: list[Tensor], clip: float) -> None:
    """Shrinks each gradient to at most `clip` times its parameter's norm, in place."""
    limits = torch._foreach_norm(parameters)
    torch._foreach_clamp_min_(limits, PARAMETER_FLOOR)
    torch._foreach_mul_(limits, clip)
    norms = torch._foreach_norm(gradients)
    torch._foreach_clamp_min_(norms, 1e-12)
    factors = torch._foreach_div(limits, norms)
    torch._foreach_clamp_max_(factors, 1.0)
    torch._foreach_mul_(gradients, factors)
