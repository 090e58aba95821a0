"""Weights of scenarios by the failures of their last training episodes (`env.failure_floor`)."""

from collections import deque
from collections.abc import Iterable, Mapping

from dreamer_exp.envs.episode import SUCCESS, EpisodeResult, without_faults

EPISODES = 20  # of each scenario


class ScenarioFailures:
    """The outcomes of each scenario's last episodes, and the weights that follow from them.

    A scenario without episodes counts as failed.

    Args:
        weights: of the scenarios, by name, as the environment draws them.
        floor: least share of failures that is assumed.
    """

    def __init__(self, weights: Mapping[str, float], floor: float) -> None:
        self._own, self._floor = dict(weights), floor
        self._failed: dict[str, deque[bool]] = {name: deque(maxlen=EPISODES) for name in weights}

    def add(self, episodes: Iterable[EpisodeResult]) -> None:
        """Add the finished episodes of an iteration; the result does not depend on their order."""
        for episode in sorted(without_faults(episodes), key=_order):
            if episode.scenario in self._failed and episode.outcome is not None:
                self._failed[episode.scenario].append(episode.outcome != SUCCESS)

    def weights(self) -> dict[str, float]:
        """Return the weights by name; their sum is 1."""
        shares = {name: sum(failed) / len(failed) if failed else 1.0 for name, failed in self._failed.items()}
        weights = {name: self._own[name] * max(self._floor, share) for name, share in shares.items()}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    def row(self) -> dict[str, float]:
        """Return the weights under their names in result.jsonl: `sampling/doorway`."""
        return {f"sampling/{name}": weight for name, weight in self.weights().items()}

    def to_dict(self) -> dict[str, list[bool]]:
        """Return the outcomes as JSON values, for a checkpoint."""
        return {name: list(failed) for name, failed in self._failed.items()}

    def load_state(self, state: Mapping[str, Iterable[bool]]) -> None:
        """Restore what `to_dict` returned; a scenario that is not in it has no episodes."""
        for name, failed in self._failed.items():
            failed.clear()
            failed.extend(map(bool, state.get(name, ())))


def _order(episode: EpisodeResult) -> tuple[int, int, float]:
    return (-1 if episode.seed is None else episode.seed, episode.length, episode.episode_return)
