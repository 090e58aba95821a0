"""The env runners of a run as workers: actors that run episodes between the fragments that they sample."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayTaskError

from dreamer_exp.config.errors import first_line
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import Finished, MakeRollouts
from dreamer_exp.evaluation.workers.base import SLICE_S, Answer, WorkerDied


class EnvRunners:
    """Actors of class SeededEnvRunner. What they sample for training stays the same bit for bit.

    Args:
        make: builds the rollouts of each; it is put into Ray's object store once.
        actors: by number.
        slice_s: longest time that an actor takes for a request, and that other calls of it wait.
    """

    def __init__(self, make: MakeRollouts, actors: Mapping[int, ActorHandle], slice_s: float) -> None:
        self._actors, self._slice_s = dict(actors), slice_s
        self._requests: dict[Any, int] = {}
        shared = ray.put(make)
        self._made = {worker: actor.apply.remote(_make_rollouts, shared) for worker, actor in self._actors.items()}

    @property
    def alive(self) -> Sequence[int]:
        """The env runners that have not died."""
        return tuple(self._actors)

    def request(self, worker: int, episodes: Sequence[EvaluationEpisode]) -> None:
        """Send the episodes to the env runner."""
        reference = self._actors[worker].apply.remote(_advance, self._made[worker], tuple(episodes), self._slice_s)
        self._requests[reference] = worker

    def wait(self) -> list[tuple[int, Answer]]:
        """Receive an answer."""
        ready, _ = ray.wait(list(self._requests), timeout=SLICE_S)
        return [self._receive(self._requests.pop(reference), reference) for reference in ready]

    def close(self) -> None:
        """Close the environments of the evaluation once the requests have been answered."""
        for actor in self._actors.values():
            actor.apply.remote(_close_rollouts)

    def _receive(self, worker: int, reference: Any) -> tuple[int, Answer]:
        try:
            answer: Answer = ray.get(reference)
        except RayActorError as error:
            del self._actors[worker]
            return worker, WorkerDied(f"env runner {worker} died ({first_line(error)})")
        except RayTaskError as error:
            return worker, error.cause if isinstance(error.cause, Exception) else error
        return worker, answer


@contextmanager
def env_runners(
    make: MakeRollouts, episodes: int, *, actors: Mapping[int, ActorHandle], slice_s: float = SLICE_S
) -> Iterator[EnvRunners]:
    """Run the episodes in at most as many of these env runners."""
    with closing(EnvRunners(make, dict(list(actors.items())[:episodes]), slice_s)) as workers:
        yield workers


def _make_rollouts(runner: Any, make: MakeRollouts) -> None:
    """Build the rollouts of an evaluation in an env runner."""
    runner.rollouts = make()


def _advance(runner: Any, made: None, episodes: Sequence[EvaluationEpisode], slice_s: float) -> list[Finished]:
    """Advance the rollouts in an env runner; an exception of `_make_rollouts` is raised through `made`."""
    finished: list[Finished] = runner.rollouts.advance(episodes, slice_s)
    return finished


def _close_rollouts(runner: Any) -> None:
    """Close and forget the rollouts in an env runner."""
    if runner.rollouts is not None:
        runner.rollouts.close()
    runner.rollouts = None
