"""Parameters in flat storage by the layer that reads them, and those of sequence model and posterior."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Leaf
from dreamer_exp.algorithms.dreamerv3.networks.layers import Linear, Mlp, NormSiLU
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import Rssm


@dataclass(frozen=True)
class Affine:
    """A linear layer, block-diagonal or not."""

    weight: Leaf
    bias: Leaf


@dataclass(frozen=True)
class Normed(Affine):
    """A linear layer with RMSNorm and SiLU behind it."""

    scale: Leaf


@dataclass(frozen=True)
class ScanParameters:
    """Shapes as published: from_deter (H, D), from_stoch (H, S*C), core (G, K + 3 H, K), gates (G, K, 3 K), posterior
    (H, D + E), out (S*C, H)."""

    from_deter: Normed
    from_stoch: Normed
    core: Normed
    gates: Affine
    posterior: Normed
    out: Affine

    @staticmethod
    def of(rssm: Rssm, leaf: Callable[[nn.Parameter], Leaf]) -> "ScanParameters":
        """Those of an RSSM whose posterior has one hidden layer."""

        def first(mlp: Mlp) -> Normed:
            linear, norm = mlp[0], mlp[1]
            assert isinstance(linear, Linear)
            assert isinstance(norm, NormSiLU)
            return Normed(leaf(linear.weight), leaf(linear.bias), leaf(norm.scale))

        out = rssm.posterior_out[0]
        assert isinstance(out, Linear)
        posterior, core, gates = rssm.posterior_in, rssm.core, rssm.gates
        return ScanParameters(
            from_deter=first(rssm.from_deter),
            from_stoch=first(rssm.from_stoch),
            core=Normed(leaf(core.weight), leaf(core.bias), leaf(rssm.core_norm.scale)),
            gates=Affine(leaf(gates.weight), leaf(gates.bias)),
            posterior=Normed(leaf(posterior.weight), leaf(posterior.bias), leaf(rssm.posterior_norm.scale)),
            out=Affine(leaf(out.weight), leaf(out.bias)),
        )


def full(layer: Normed) -> tuple[Tensor, Tensor]:
    """Bias and scale of a norm's layer, flat (N,) each, float32."""
    return layer.bias.value.flatten(), layer.scale.value
