"""A policy that acts for one robot or several, and keeps their recurrent states."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.acting_network import ActingNetwork
from dreamer_exp.algorithms.rows import RowNoise
from dreamer_exp.policy.contract import PolicyContract, Vector, finite_vectors
from dreamer_exp.policy.imagination import Imagined, as_vectors, by_key, imagine


class PolicyState(NamedTuple):
    """The recurrent state of N robots and of their random generators. Acting never changes it."""

    tensors: tuple[Tensor, ...]
    noise: tuple[Tensor | None, ...]


@dataclass(frozen=True)
class PolicyInfo:
    """What a policy file holds about its policy.

    Attributes:
        algorithm: name of the algorithm.
        contract_hash: of its observations and actions.
        env_steps: of the training.
        updates: of the training.
        environment: name of the environment, or None if the file does not hold it.
        step_s: seconds between two steps of the environment, or None if the file does not hold it.
        action_repeat: steps of the environment for which each action is held.
        units: entry of the observation -> its unit, and the number of units that an observed 1 stands for.
        discount: of the training.
    """

    algorithm: str
    contract_hash: str | None = None
    env_steps: int | None = None
    updates: int | None = None
    environment: str | None = None
    step_s: float | None = None
    action_repeat: int = 1
    units: dict[str, tuple[str, float]] = field(default_factory=dict)
    discount: float | None = None

    @property
    def period_s(self) -> float | None:
        """Seconds between two actions, without what binary fractions add: 0.3 for three steps of 0.1 s."""
        return None if self.step_s is None else round(self.step_s * self.action_repeat, 9)


class Policy:
    """A trained policy with its recurrent state; `load_policy` makes it.

    The same seed and observations give the same actions, bit for bit for equal `robots`; torch's global generator is
    not used. It is not safe to act from several threads.

    Args:
        network: with the weights of the policy.
        info: of the file.
        contract: None if no file describes it: then only vectors are taken, and actions are in [-1, 1] or from 0.
        observation_size: O.
        robots: N; None for one robot, whose observations and actions have no leading axis.
        seed: of the noise: robot i draws from seed + i.
    """

    def __init__(
        self,
        network: ActingNetwork,
        info: PolicyInfo,
        contract: PolicyContract | None,
        *,
        observation_size: int,
        robots: int | None,
        seed: int,
    ) -> None:
        self.network, self.info, self.contract, self.robots = network, info, contract, robots
        self.observation_size = observation_size
        self._seed, self._rows = seed, 1 if robots is None else robots
        self._device = next(network.parameters()).device
        self._noise = RowNoise(self._rows)
        self._tensors: tuple[Tensor, ...] = ()
        self.reset()

    @torch.inference_mode()
    def reset(self, robot: int | None = None, seed: int | None = None) -> None:
        """Begin an episode: the initial state, and the noise from its beginning.

        Args:
            robot: the number of a robot; None for all.
            seed: of the noise; by default that of `load_policy`, so that a repeated episode is the same. Robot i of
                all draws from seed + i.

        Raises:
            IndexError: there is no such robot.
        """
        first = self._seed if seed is None else seed
        initial = self.network.initial(self._rows)
        if robot is None:
            self._tensors = initial
            for row in range(self._rows):
                self._noise.begin(row, first + row)
            return
        if not 0 <= robot < self._rows:
            raise IndexError(f"robot={robot}: the policy was loaded for {self._rows}, numbered from 0")
        self._noise.begin(robot, first + robot if seed is None else seed)
        is_row = (torch.arange(self._rows, device=self._device) == robot).view(-1)
        pairs = zip(self._tensors, initial, strict=True)
        self._tensors = tuple(torch.where(_like(is_row, new), new, old) for old, new in pairs)

    def act(self, observation: Any, *, sample: bool = False) -> NDArray[Any]:
        """Return the action for an observation, and advance the state.

        Args:
            observation: a mapping with an array for each key of the contract, or a vector that `ContractEnv` returned;
                with a leading axis N if the policy was loaded with robots=N.
            sample: draw the action instead of taking the most likely one. The latent is drawn in either case.

        Returns:
            The environment's action: (A,) float32 within its bounds, or an integer; with a leading axis N.

        Raises:
            ObservationError: the observation does not fit; the state is as before.
        """
        vectors = self._vectors(observation)
        actions = self._act(vectors, sample)
        if self.contract is not None:
            actions = self.contract.to_robot(actions)
        action: NDArray[Any] = actions[0] if self.robots is None else actions
        return action

    def step(self, observation: Any, state: PolicyState, *, sample: bool = False) -> tuple[NDArray[Any], PolicyState]:
        """Return the action and the next state for an observation in a state; `state` of the policy is not touched."""
        kept = self.state
        try:
            self.state = state
            action = self.act(observation, sample=sample)
            return action, self.state
        finally:
            self.state = kept

    @property
    def state(self) -> PolicyState:
        """The state of all robots, which can be set again later, also in another policy of the same file.

        Setting it raises ValueError if it does not fit; the state is then as before.
        """
        return PolicyState(self._tensors, self._noise.states())

    @state.setter
    def state(self, state: PolicyState) -> None:
        self._tensors, self._noise = self._read(state)

    @torch.inference_mode()
    def value(self) -> NDArray[np.float32]:
        """Return the critic's estimate of the discounted return from the current state: () or (N,).

        Raises:
            ValueError: the file has no critic.
        """
        self.require_heads("a value")
        values: NDArray[np.float32] = self.network.value(self._tensors).cpu().numpy()
        return values[0] if self.robots is None else values

    @torch.inference_mode()
    def imagine(self, state: PolicyState, actions: Any, *, seed: int | None = None) -> Imagined:
        """Return what the world model predicts for a sequence of actions; `state` of the policy is not touched.

        Args:
            state: where the sequence begins: `policy.state` after an observation.
            actions: of the environment, (H, A) or (H,) if Discrete; (H, N, ...) for N robots.
            seed: of the latents; by default they continue the noise of the state.

        Raises:
            ValueError: the state or the actions do not fit, or the file has no world model or no heads.
        """
        if not self.network.has_world_model:
            raise ValueError(f"imagining needs a world model, and algo={self.info.algorithm} has none")
        self.require_heads("imagining")
        lead = () if self.robots is None else (self.robots,)
        tensors, noise = self._read(state)
        vectors = torch.as_tensor(as_vectors(actions, self.network, self.contract, lead), device=self._device)
        if seed is not None:
            for row in range(self._rows):
                noise.begin(row, seed + row)
        parts = imagine(self.network, tensors, noise, vectors, self.info.discount)
        observation, reward, proceeds = (part[:, 0] if self.robots is None else part for part in parts)
        return Imagined(by_key(observation, self.contract), reward, proceeds)

    def require_heads(self, what: str) -> None:
        """Raise ValueError if the file has neither decoder, heads nor critic."""
        if not self.network.has_heads:
            raise ValueError(f"{what} needs decoder, heads and critic, and the file was packed with acting_only=true")

    def _read(self, state: PolicyState) -> tuple[tuple[Tensor, ...], RowNoise]:
        """Return the tensors on the policy's device, and the noise; raise ValueError if they do not fit."""
        shapes = [(self._rows, *shape) for shape in self.network.state_shapes.values()]
        found = [tuple(tensor.shape) for tensor in state.tensors]
        if found != shapes:
            raise ValueError(f"state: shapes {found}; the policy needs {shapes}")
        if len(state.noise) != self._rows:
            raise ValueError(f"state: noise of {len(state.noise)} robots; the policy needs that of {self._rows}")
        noise = RowNoise(self._rows)
        try:
            noise.load_states(state.noise)
        except (RuntimeError, TypeError) as error:
            raise ValueError(f"state: its noise is not that of a policy ({error})") from error
        return tuple(tensor.to(self._device, torch.float32) for tensor in state.tensors), noise

    def _vectors(self, observation: Any) -> Vector:
        if self.contract is not None:
            return self.contract.vectors(observation, self.robots)
        return finite_vectors(observation, () if self.robots is None else (self.robots,), self.observation_size)

    @torch.inference_mode()
    def _act(self, vectors: Vector, sample: bool) -> NDArray[Any]:
        uniform = self.network.draw(self._noise).to(self._device)
        noise = self._action_noise().to(self._device) if sample else None
        observation = torch.as_tensor(vectors, device=self._device)
        action, self._tensors = self.network.step(observation, self._tensors, uniform, noise)
        if not sample:
            self.network.after_mode(self._noise)
        actions: NDArray[Any] = action.cpu().numpy()
        return actions

    def _action_noise(self) -> Tensor:
        draw = self._noise.uniform if self.network.discrete else self._noise.normal
        return draw(self.network.action_noise)


def _like(rows: Tensor, tensor: Tensor) -> Tensor:
    """Return a mask (N,) with as many axes as the tensor."""
    return rows.view(-1, *[1] * (tensor.ndim - 1))
