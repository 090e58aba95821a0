"""Steps on their way into the replay."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

IS_FIRST, IS_LAST, IS_TERMINAL = range(3)  # columns of the field "flags"


@dataclass(frozen=True)
class Steps:
    """n consecutive steps of one stream, oldest first.

    Attributes:
        observation: (n, O).
        action: taken after the observation (n, A); one-hot for Discrete, zeros at the last step of an episode.
        reward: received with the observation (n,).
        is_first: whether an episode begins at the step (n,).
        is_last: whether it ends there, terminated or truncated (n,).
        is_terminal: whether it terminates there (n,).
        deter: recurrent state that chose the action (n, D).
        stoch: classes of its latent (n, S).
    """

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    is_first: NDArray[np.bool_]
    is_last: NDArray[np.bool_]
    is_terminal: NDArray[np.bool_]
    deter: NDArray[np.float16]
    stoch: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def flags(self) -> NDArray[np.uint8]:
        """is_first, is_last and is_terminal (n, 3)."""
        return np.stack([self.is_first, self.is_last, self.is_terminal], -1).astype(np.uint8)


@dataclass(frozen=True)
class Pieces:
    """Steps of several streams, one piece after the other, as `LatentReplay.collect` returns them.

    Attributes:
        streams: of each piece (P,).
        lengths: steps of each piece (P,).
        fields: of the rings (n, ...), in host memory from which they can be copied to the rings.
    """

    streams: NDArray[np.int64]
    lengths: NDArray[np.int64]
    fields: dict[str, Tensor]
