"""Encoder and decoder of observations that one MLP reads and predicts; those of several kinds: entries.py.

An encoder maps observations to tokens (..., E), with E = `encoder.tokens`. A decoder returns the losses of its
prediction, `decoder.losses(feature, observation, weights)`, () each. Both apply symlog to the observation themselves.
"""

from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.maths import symexp, symlog
from dreamer_exp.algorithms.dreamerv3.networks.layers import Head, Mlp
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature


class VectorEncoder(Mlp):
    """MLP from vectors (..., O) to tokens (..., E).

    Args:
        inputs: O.
        units: E, and the width of each layer.
        layers: their number.
        squash: whether to apply symlog to the observation.
    """

    def __init__(self, inputs: int, units: int, layers: int, squash: bool) -> None:
        super().__init__(inputs, units, layers)
        self.tokens, self.squash = units, squash

    def forward(self, observation: Tensor) -> Tensor:
        """Return the tokens (..., E) of observations (..., O)."""
        tokens: Tensor = super().forward(symlog(observation) if self.squash else observation)  # type: ignore[no-untyped-call]  # torch's
        return tokens


class VectorDecoder(Head):
    """Head that predicts vectors (N, O), or their symlog.

    Args:
        feature: width of its input, D + S*C.
        units: width of each layer.
        layers: their number.
        outputs: O.
        squash: whether it predicts the symlog of the observation.
    """

    def __init__(self, feature: int, units: int, layers: int, outputs: int, squash: bool) -> None:
        super().__init__(feature, units, layers, outputs)
        self.squash = squash

    def predict(self, feature: Tensor | Feature) -> Tensor:
        """Return the predicted observations (N, O)."""
        predicted: Tensor = self(feature)
        return symexp(predicted) if self.squash else predicted

    def losses(
        self, feature: Tensor | Feature, observation: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the prediction's squared error, weighted, and unweighted by its name, () each.

        It is summed over O and averaged over N.

        This is eq. 8 without its factor of one half, as in danijar/dreamerv3.

        Args:
            feature: N rows.
            observation: (..., O) of N rows.
            weights: (O,) weights of the squared errors; None means ones.
        """
        target = (symlog(observation) if self.squash else observation).flatten(0, -2)
        squares = (self(feature) - target).square()
        unweighted: Tensor = squares.sum(-1).mean()
        return unweighted if weights is None else (squares * weights).sum(-1).mean(), {"decoder": unweighted}
