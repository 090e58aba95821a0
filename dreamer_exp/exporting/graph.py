"""A policy as a function of tensors alone: contract, network and action in one module."""

import torch
from torch import Tensor, nn

from dreamer_exp.policy.acting import Policy
from dreamer_exp.scaling import scaling_of


class PolicyGraph(nn.Module):
    """The policy as (observation, state, noise) -> (action, next state, value), for N robots.

    Observations are the environment's numbers, in the order of the contract's keys; actions are the environment's. The
    noise has a uniform number in [0, 1) for each stochastic variable, then for Box actions a standard normal number
    for each: 0 takes the most likely action. Discrete actions are always the most likely. Without a critic
    (acting_only) there is no value.

    Args:
        policy: on the CPU.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        network, contract = policy.network, policy.contract
        self.network, self.observation_size = network, policy.observation_size
        self.noise = network.stoch if network.discrete else network.stoch + network.action_size
        self.scaling = None
        if contract is not None:
            scaling = scaling_of(contract.scaling, {entry.key: entry.shape for entry in contract.entries})
            if scaling is not None:
                self.scaling = Scaling(scaling.rays, torch.from_numpy(scaling.factor), torch.from_numpy(scaling.offset))
        ones = torch.ones(network.action_size)
        self.register_buffer("low", -ones if contract is None else torch.from_numpy(contract.low))
        self.register_buffer("high", ones if contract is None else torch.from_numpy(contract.high))
        self.first = 0 if contract is None or not network.discrete else int(contract.low[0])

    low: Tensor
    high: Tensor

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs."""
        return ["observation", *(f"state_{name}" for name in self.network.state_shapes), "noise"]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs."""
        value = ["value"] if self.network.has_heads else []
        return ["action", *(f"next_{name}" for name in self.network.state_shapes), *value]

    def forward(self, observation: Tensor, *state_and_noise: Tensor) -> tuple[Tensor, ...]:
        """Return action (N, A) or (N,), the parts of the next state, and value (N,) if there is a critic."""
        *state, noise = state_and_noise
        vectors = observation if self.scaling is None else self.scaling(observation)
        uniform, normal = noise[:, : self.network.stoch].contiguous(), noise[:, self.network.stoch :]
        action, after = self.network.step(vectors, tuple(state), uniform, None if self.network.discrete else normal)
        value = (self.network.value(after),) if self.network.has_heads else ()
        return self._to_robot(action), *after, *value

    def example(self, rows: int) -> tuple[Tensor, ...]:
        """Return inputs for N robots at the beginning of an episode."""
        return torch.zeros(rows, self.observation_size), *self.network.initial(rows), torch.zeros(rows, self.noise)

    def _to_robot(self, action: Tensor) -> Tensor:
        if self.network.discrete:
            return action + self.first
        centre, half_range = self.low / 2 + self.high / 2, self.high / 2 - self.low / 2
        return torch.minimum(torch.maximum(centre + half_range * action, self.low), self.high)


class Scaling(nn.Module):
    """`obs_contract.scaling=metric` in torch (dreamer_exp/scaling.py).

    Args:
        rays: the places of each row of rays.
        factor: of each number (O,).
        offset: of each number (O,).
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, rays: list[slice], factor: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.rays = rays
        self.register_buffer("factor", factor)
        self.register_buffer("offset", offset)

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the scaled vectors (N, O)."""
        parts, last = [], 0
        for place in self.rays:
            parts += [vectors[:, last : place.start], median_of_neighbours(vectors[:, place])]
            last = place.stop
        scaled = self.factor * torch.cat([*parts, vectors[:, last:]], -1)
        return torch.sign(scaled) * torch.log1p(torch.abs(scaled)) - self.offset


def median_of_neighbours(rays: Tensor) -> Tensor:
    """Return the median of each ray and its two neighbours (N, R); the last ray is next to the first."""
    left, right = torch.cat([rays[:, -1:], rays[:, :-1]], -1), torch.cat([rays[:, 1:], rays[:, :1]], -1)
    return torch.maximum(torch.minimum(left, right), torch.minimum(torch.maximum(left, right), rays))
