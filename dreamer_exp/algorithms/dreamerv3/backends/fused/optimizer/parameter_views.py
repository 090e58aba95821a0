"""Parameter views grouped by layer, and those of the sequence model and the posterior."""

from dataclasses import dataclass

from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ParameterView, ViewOf
from dreamer_exp.algorithms.dreamerv3.networks.layers import Linear, Mlp, NormSiLU
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import Rssm


@dataclass(frozen=True)
class Affine:
    """A linear layer, block-diagonal or not."""

    weight: ParameterView
    bias: ParameterView


@dataclass(frozen=True)
class Normed(Affine):
    """A linear layer followed by RMSNorm and SiLU."""

    scale: ParameterView


@dataclass(frozen=True)
class ScanParameters:
    """The layers that the posterior scan reads.

    Shapes of the weights, as published, with K = D / G: from_deter (U, D), from_stoch (U, S*C), core (G, K + 3 U, K),
    gates (G, K, 3 K), posterior (U, D + E), out (S*C, U).
    """

    from_deter: Normed
    from_stoch: Normed
    core: Normed
    gates: Affine
    posterior: Normed
    out: Affine

    @staticmethod
    def of(rssm: Rssm, view_of: ViewOf) -> "ScanParameters":
        """Return the layers of an RSSM whose posterior has one hidden layer."""

        def first(mlp: Mlp) -> Normed:
            linear, norm = mlp[0], mlp[1]
            assert isinstance(linear, Linear)
            assert isinstance(norm, NormSiLU)
            return Normed(view_of(linear.weight), view_of(linear.bias), view_of(norm.scale))

        out = rssm.posterior_out[0]
        assert isinstance(out, Linear)
        posterior, core, gates = rssm.posterior_in, rssm.core, rssm.gates
        return ScanParameters(
            from_deter=first(rssm.from_deter),
            from_stoch=first(rssm.from_stoch),
            core=Normed(view_of(core.weight), view_of(core.bias), view_of(rssm.core_norm.scale)),
            gates=Affine(view_of(gates.weight), view_of(gates.bias)),
            posterior=Normed(view_of(posterior.weight), view_of(posterior.bias), view_of(rssm.posterior_norm.scale)),
            out=Affine(view_of(out.weight), view_of(out.bias)),
        )
