"""The interface of a built algorithm, its networks and its policy.

Importing this imports neither ray nor torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.algorithms.rllib.process_watch import ProcessWatch
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import EpisodeResult

if TYPE_CHECKING:
    from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
    from ray.rllib.core.learner.learner import Learner
    from ray.rllib.core.rl_module.rl_module import RLModule
    from torch import Tensor


@dataclass
class Iteration:
    """Result of one `training_step()`: env steps, updates, seconds, and the episodes that ended."""

    env_steps: int = 0
    prefill_env_steps: int = 0  # of these, sampled before there was a batch; they owe no updates
    updates: int = 0
    sample_s: float = 0.0
    update_s: float = 0.0
    episodes: list[EpisodeResult] = field(default_factory=list)


class Backend(NamedTuple):
    """The code that computes the updates."""

    name: str
    """A value of `algo.backend`."""
    precision: str
    """Of the matrix products."""
    requested: str
    """The value that was asked for."""
    why: str = ""
    """The reason if it is not the requested one, or ""."""

    def __str__(self) -> str:
        """Return backend and precision as text."""
        return f"backend {self.name}, precision {self.precision}"


class BatchNames(NamedTuple):
    """Names of the arrays (..., O), (..., A) and (...) in a batch of the learner."""

    observation: str = "obs"
    action: str = "actions"
    reward: str = "rewards"


@dataclass(frozen=True)
class RecordedSteps:
    """Steps of a replay, joined from pieces of episodes; each piece is in order.

    Attributes:
        observation: as the policy sees it (N, O).
        action: taken after the observation, in [-1, 1] or one-hot (N, A); zeros at the end of a piece.
        reward: received with the observation (N,).
        is_first: whether a piece begins at the step (N,).
        is_terminal: whether its episode terminates at the step (N,).
    """

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    is_first: NDArray[np.bool_]
    is_terminal: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.reward)


class Algorithm(Protocol):
    """An RLlib Algorithm that samples and updates, and whose state can be saved and resumed bit for bit."""

    should_stop: Callable[[], bool]
    """Called between updates; True ends the iteration early."""
    last_iteration: Iteration
    updates_owed: float
    """Updates that the env steps so far still ask for; less than one after a complete iteration."""
    learner_group: Any
    """RLlib's."""
    watch: ProcessWatch
    """Watch of Ray and the env runners; the run replaces it by the one of its Ray."""

    def train(self) -> dict[str, Any]:
        """Run one iteration; return RLlib's results."""

    def stop(self) -> None:
        """Stop env runners and learners."""

    @property
    def replay_steps(self) -> int:
        """Number of env steps in the replay; 0 without one."""

    @property
    def backend(self) -> Backend | None:
        """Backend that the updates use; None without a choice of them."""

    def module_to_evaluate(self) -> "RLModule":
        """Return the network as the last update left it, in the main process."""

    def on_learner(self, call: Callable[[Any], Any]) -> Any:
        """Call a function with the first learner, in its process, and return the result."""

    def env_runner_actors(self) -> dict[int, Any]:
        """Return Ray's handles of the healthy env runners with processes of their own, by number."""

    def processes(self) -> list[tuple[int, str]]:
        """Return number and name of each env runner and learner that is a process of its own on this host."""

    def give_up_env_runners(self) -> None:
        """Call no env runner of another process any more: Ray, or one of them, has died."""

    def reset_episodes(self, number: int) -> int:
        """Cut all running episodes and seed the next ones by this number; return how many had steps."""

    def close_envs(self) -> None:
        """Close all environments after `reset_episodes`, until `make_envs`."""

    def make_envs(self) -> None:
        """Make the environments again."""

    def init_weights(self, weights: Mapping[str, NDArray[np.float32]]) -> None:
        """Set these weights, by name, in every learner and env runner; called if the spec has `scopes`."""

    def set_scenario_weights(self, weights: Mapping[str, float]) -> None:
        """Draw scenarios by these weights in all env steps that are requested from now on; under env.failure_floor."""

    def reseed_replay(self, number: int) -> None:
        """Draw the next batches from the random stream of this number."""

    def save_to_path(self, path: str) -> str:
        """Write RLlib's checkpoint into a folder; return the folder."""

    def restore_from_path(self, path: str) -> None:
        """Load RLlib's checkpoint. Its files are pickles, which can run any code."""

    def save_replay(self, folder: Path) -> None:
        """Write the replay and its random generator into a new folder."""

    def load_replay(self, folder: Path) -> None:
        """Load a saved replay."""

    def recorded_steps(self, most: int) -> RecordedSteps:
        """Return up to this number of the newest steps of the replay."""


class Policy(Protocol):
    """A deterministic policy of N episodes that begin at different times.

    An episode's actions depend on its seed and observations alone, bit for bit for equal N.
    """

    def begin(self, row: int, seed: int) -> None:
        """Begin an episode in a row, with the noise of this seed."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions for observations (N, O): (N, A) in [-1, 1], or integers (N,) for Discrete."""


class BuildNetwork(Protocol):
    """Builds a complete network with arbitrary weights."""

    def __call__(
        self,
        description: Mapping[str, Any],
        observation_space: gymnasium.spaces.Box,
        action_space: gymnasium.Space[Any],
    ) -> "RLModule":
        """Return the network of a description that `describe_network` returned."""


class Imagine(Protocol):
    """Open-loop prediction of a world model (algorithms/open_loop.py)."""

    def __call__(  # noqa: PLR0917
        self, module: "RLModule", seen: "Tensor", is_first: "Tensor", actions: "Tensor", gamma: float, seed: int
    ) -> "tuple[Tensor, Tensor, Tensor]":
        """Return predicted observations (N, H+1, O), rewards (N, H+1) and continue probabilities (N, H+1).

        Args:
            module: the complete network.
            seen: observations (N, T, O).
            is_first: 1 where an episode begins (N, T).
            actions: (N, T-1+H, A), one-hot if Discrete.
            gamma: the discount of the training.
            seed: of the latents' noise; torch's global generator keeps its state.
        """


@dataclass(frozen=True)
class Implementation:
    """The part of an algorithm that needs ray and torch; `AlgorithmSpec.load` imports it."""

    configure: "Callable[[Experiment], AlgorithmConfig]"
    """Returns an RLlib config whose class implements `Algorithm`. It holds each option under the option's name
    (`replay_capacity` in `replay_buffer_config`). algorithms/rllib/build.py adds environment, processes and seed."""
    describe_network: "Callable[[RLModule], dict[str, Any]]"
    """Returns the JSON values of `AlgorithmSpec.policy_format` for a network."""
    build_network: BuildNetwork
    policy_maker: "Callable[[RLModule], Callable[..., Policy]]"
    """Returns a function, which can be pickled, that builds the deterministic policy of a network for N episodes, where
    the network is, or with `device="cuda"` on the GPU."""
    replay_update: "Callable[[Learner, Mapping[str, NDArray[Any]], Mapping[str, Any]], dict[str, float]]"
    """Computes an update from `batch` and `state` of a NonFiniteUpdate; returns its metrics, or {} if it ended without
    any."""
    batch_names: BatchNames = BatchNames()
    imagine: Imagine | None = None
    """None without a world model."""
