"""What an observation becomes and is predicted as: an encoder gives tokens, a decoder the loss of its prediction.

Every kind of observation has one pair of these: `encoder(observation)` is (..., E) with E = `encoder.units`, and
`decoder.loss(feature, observation)` is () . Both squash what they are given, so that nobody else has to.
"""

from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.maths import symlog
from dreamer_exp.algorithms.dreamerv3.networks.layers import Head, Mlp
from dreamer_exp.algorithms.dreamerv3.networks.one_hot import Feature


class VectorEncoder(Mlp):
    """Vectors (..., O) -> tokens (..., E)."""

    def __init__(self, inputs: int, units: int, layers: int, squash: bool) -> None:
        super().__init__(inputs, units, layers)
        self.units, self.squash = units, squash

    def forward(self, observation: Tensor) -> Tensor:
        """The tokens."""
        tokens: Tensor = super().forward(symlog(observation) if self.squash else observation)  # type: ignore[no-untyped-call]  # torch's
        return tokens


class VectorDecoder(Head):
    """Features -> the squashed vectors (..., O)."""

    def __init__(self, feature: int, units: int, layers: int, outputs: int, squash: bool) -> None:
        super().__init__(feature, units, layers, outputs)
        self.squash = squash

    def loss(self, feature: Tensor | Feature, observation: Tensor) -> Tensor:
        """Squared error of the prediction from features of N rows, summed over O, mean over all else ()."""
        target = (symlog(observation) if self.squash else observation).flatten(0, -2)
        error: Tensor = self(feature) - target
        return error.square().sum(-1).mean()
