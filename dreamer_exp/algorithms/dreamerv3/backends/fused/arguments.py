"""Named tuples that gather the arguments of kernels.

Triton passes the fields of a tuple one by one, so a kernel's code is the same with and without it. Fields of
compile-time constants are wrapped by `constants`; such a tuple may be passed on, but not assigned to a variable in a
kernel, which would turn the constants into tensors.
"""

from typing import Any, NamedTuple, TypeVar

import triton.language as tl

from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.parameter_views import Affine, Normed

Sizes = TypeVar("Sizes")


class Norm(NamedTuple):
    """Bias and scale (N,) of a normed layer, float32: SiLU(RMSNorm(product + bias) * scale)."""

    bias: Any
    scale: Any

    @staticmethod
    def of(layer: Normed) -> "Norm":
        """Return those of a layer."""
        return Norm(layer.bias.value.flatten(), layer.scale.value)


class Linear(NamedTuple):
    """Weight, in the operand dtype, and bias, in float32."""

    weight: Any
    bias: Any

    @staticmethod
    def of(layer: Affine) -> "Linear":
        """Return those of a layer."""
        return Linear(layer.weight.low, layer.bias.value)


class NormedLinear(NamedTuple):
    """Weight in the operand dtype, and bias and scale of its norm in float32."""

    weight: Any
    bias: Any
    scale: Any

    @staticmethod
    def of(layer: Normed) -> "NormedLinear":
        """Return those of a layer."""
        return NormedLinear(layer.weight.low, *Norm.of(layer))


def constants(kind: type[Sizes], **values: Any) -> Sizes:
    """Return a named tuple of compile-time constants, for a kernel."""
    return kind(**{name: tl.constexpr(value) for name, value in values.items()})
