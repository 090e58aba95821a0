"""Networks without a recurrent state as `ActingNetwork`s, with torch alone."""

from collections.abc import Sequence

from torch import Tensor, nn

from dreamer_exp.algorithms.acting_network import ActingNetwork, Prediction, State

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU}


class ModelFreeNetwork(ActingNetwork):
    """Network whose state is the last observation (N, O), from which it estimates the value; it has no world model.

    Args:
        observation_size: O.
        action_size: A.
        discrete: whether actions are Discrete.
    """

    has_world_model = False
    stoch = 0

    def __init__(self, observation_size: int, action_size: int, *, discrete: bool) -> None:
        super().__init__()
        self.action_size, self.discrete = action_size, discrete
        self.state_shapes = {"observation": (observation_size,)}

    def initial(self, rows: int) -> State:
        """Return zeros."""
        return (next(self.parameters()).new_zeros(rows, *self.state_shapes["observation"]),)

    def imagine(self, state: State, action: Tensor, uniform: Tensor) -> State:
        """Raise NotImplementedError."""
        raise NotImplementedError("there is no world model")

    def predict(self, state: State) -> Prediction:
        """Raise NotImplementedError."""
        raise NotImplementedError("there is no world model")


class Mlp(nn.Module):
    """Linear layers under the names of RLlib's TorchMLP.

    Args:
        inputs: numbers that come in.
        units: of each layer.
        activation: after each layer; None for none.
    """

    def __init__(self, inputs: int, units: Sequence[int], activation: str | None) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for outputs in units:
            parts.append(nn.Linear(inputs, outputs))
            parts += [] if activation is None else [ACTIVATIONS[activation]()]
            inputs = outputs
        self.mlp = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for x (..., inputs)."""
        y: Tensor = self.mlp(x)
        return y


class Layers(nn.Module):
    """An encoder or a head of RLlib's, whose layers are under `net`; arguments as those of Mlp."""

    def __init__(self, inputs: int, units: Sequence[int], activation: str | None = None) -> None:
        super().__init__()
        self.net = Mlp(inputs, units, activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for x (..., inputs)."""
        y: Tensor = self.net(x)
        return y
