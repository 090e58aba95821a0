"""Uniform replay of transitions, in the learner's process, with a generator of the run's seed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.env.single_agent_episode import SingleAgentEpisode

from dreamer_exp.algorithms.array_file import open_array, write_array
from dreamer_exp.algorithms.lazy_memory import lazy_array

FORMAT = 1
STATE = "replay.json"
COLUMNS = ("observation", "action", "reward", "is_last", "is_terminal")  # names of files
REPLAY_STREAM = 1  # spawn key of the draws

Array = NDArray[Any]


class TransitionReplay:
    """Ring of rows: the observations of a chunk in order, each with the action that followed and its reward.

    The last observation of a chunk has no action; its row is not drawn. A chunk's observations are held once, as the
    observation after a step is in the next row.

    Args:
        capacity: env steps.
        fragment: steps of a chunk, at most; each takes a row more.
        observation_size: O.
        action_size: A.
        seed: of the run.
    """

    def __init__(self, capacity: int, fragment: int, observation_size: int, action_size: int, seed: int) -> None:
        self.rows = capacity + -(-capacity // fragment)
        self._seed = seed
        # not zeros: memory is taken as the replay fills
        self._columns: dict[str, Array] = {
            "observation": lazy_array((self.rows, observation_size), np.float32),
            "action": lazy_array((self.rows, action_size), np.float32),
            "reward": np.empty(self.rows, np.float32),
            "is_last": np.ones(self.rows, np.bool_),
            "is_terminal": np.zeros(self.rows, np.bool_),
        }
        self._next, self._filled, self._steps = 0, 0, 0
        self.rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(REPLAY_STREAM,)))

    def __len__(self) -> int:
        """Return the number of env steps held."""
        return self._steps

    def add(self, chunk: SingleAgentEpisode) -> None:
        """Add the steps of a chunk; the oldest rows make room."""
        steps = len(chunk)
        place = np.arange(self._next, self._next + steps + 1) % self.rows
        columns = self._columns
        self._steps -= int(np.count_nonzero(~columns["is_last"][place]))
        columns["observation"][place] = chunk.observations.data
        columns["action"][place[:-1]] = chunk.actions.data
        columns["action"][place[-1]] = 0.0
        columns["reward"][place[:-1]] = chunk.rewards.data
        columns["reward"][place[-1]] = 0.0
        columns["is_last"][place] = np.arange(steps + 1) == steps
        columns["is_terminal"][place] = False
        columns["is_terminal"][place[-2]] = chunk.is_terminated
        self._steps += steps
        self._next = (self._next + steps + 1) % self.rows
        self._filled = min(self.rows, self._filled + steps + 1)

    def sample(self, batch: int) -> dict[str, Array]:
        """Return transitions (B, ...) drawn uniformly, by the names of RLlib's batches."""
        drawn = self.rng.integers(self._filled, size=batch)
        columns = self._columns
        while (refused := columns["is_last"][drawn]).any():
            drawn[refused] = self.rng.integers(self._filled, size=np.count_nonzero(refused))
        return {
            "obs": columns["observation"][drawn],
            "new_obs": columns["observation"][(drawn + 1) % self.rows],
            "actions": columns["action"][drawn],
            "rewards": columns["reward"][drawn],
            "terminateds": columns["is_terminal"][drawn],
            "n_step": np.ones(batch, np.float32),
            "weights": np.ones(batch, np.float32),
        }

    def reseed(self, number: int) -> None:
        """Continue with the random stream of this number."""
        self.rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(REPLAY_STREAM, number)))

    def save(self, folder: Path) -> None:
        """Write the rows and the state that the next draws depend on into a folder, which is created if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in COLUMNS:
            values = self._columns[name][: self._filled]
            write_array(folder / f"{name}.npy", values.shape, values.dtype, [values])
        state = {
            "format": FORMAT,
            "rows": self.rows,
            "next": self._next,
            "generator": self.rng.bit_generator.state,
        }
        (folder / STATE).write_text(json.dumps(state, allow_nan=False) + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Replace the content by what was saved; the next batches are then those of the saved one.

        With another capacity, the newest rows that fit are kept, and the batches are others.

        Raises:
            ValueError: the format is unknown, or a file is too short.
        """
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if state["format"] != FORMAT:
            raise ValueError(f"{folder / STATE}: format {state['format']}, this version reads {FORMAT}")
        self._columns["is_last"][:] = True
        for name in COLUMNS:
            with open_array(folder / f"{name}.npy") as file:
                filled = file.shape[0]
                if state["rows"] == self.rows:
                    self._columns[name][:filled] = file.read(0, filled)
                else:
                    values = file.read(0, filled)
                    in_order = np.roll(values, -state["next"], axis=0) if filled == state["rows"] else values
                    kept = in_order[-self.rows :]
                    self._columns[name][: len(kept)] = kept
        self._filled = min(filled, self.rows)
        self._next = state["next"] if state["rows"] == self.rows else self._filled % self.rows
        self._steps = int(np.count_nonzero(~self._columns["is_last"]))
        self.rng.bit_generator.state = state["generator"]
