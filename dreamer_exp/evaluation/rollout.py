"""Episodes of the deterministic policy on fixed seeds."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.episode import EpisodeResult, result_of
from dreamer_exp.envs.make import make_guarded_env
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.recorder import EpisodeRecorder

MAX_PARALLEL = 32  # environments in one batch of the policy


class Stopped(Exception):
    """An interrupted evaluation."""


class BatchPolicy(Protocol):
    """A policy that acts in several environments at once."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return the actions for a batch of observations."""


MakePolicy = Callable[[int, int], BatchPolicy]
"""Builds a policy from a number of environments and a seed."""
Watch = Callable[[EvaluationEpisode, gymnasium.Env[Any, Any]], None]
"""Called with an episode and its env after the reset and after each step."""


def never() -> bool:
    """Return False: nothing asks to stop."""
    return False


def unwatched(episode: EvaluationEpisode, env: gymnasium.Env[Any, Any]) -> None:
    """Do nothing with a step."""


def evaluate_policy(
    experiment: Experiment,
    make_policy: MakePolicy,
    should_stop: Callable[[], bool] = never,
    watch: Watch = unwatched,
) -> list[EpisodeResult]:
    """Return the policy's results in the evaluation's episodes, in their order.

    Args:
        experiment: gives the env, the contract and the episodes.
        make_policy: called once for each batch of episodes.
        should_stop: called at every step.
        watch: called at every step.

    Raises:
        Stopped: `should_stop` returned True.
    """
    results: list[EpisodeResult] = []
    for episodes in batches(experiment):
        results += run_batch(experiment, make_policy, episodes, should_stop=should_stop, watch=watch)
    return results


def batches(experiment: Experiment) -> list[list[EvaluationEpisode]]:
    """Return the episodes in batches that run in parallel; the policy's noise depends on the complete batch."""
    episodes = list(episode_list(experiment).episodes)
    return [episodes[start : start + MAX_PARALLEL] for start in range(0, len(episodes), MAX_PARALLEL)]


def run_batch(
    experiment: Experiment,
    make_policy: MakePolicy,
    episodes: list[EvaluationEpisode],
    *,
    should_stop: Callable[[], bool] = never,
    watch: Watch = unwatched,
    render_mode: str | None = None,
) -> list[EpisodeResult]:
    """Return the results of these episodes, run in parallel, each in a separate env.

    Raises:
        Stopped: `should_stop` returned True.
    """
    with seeded_global_generators(episodes[0].seed):
        envs = [make_guarded_env(experiment.env, experiment.obs_contract, render_mode) for _ in episodes]
        policy = make_policy(len(episodes), episodes[0].seed)
        observations = np.stack([episode.begin(env)[0] for env, episode in zip(envs, episodes, strict=True)])
        recorders = [EpisodeRecorder(env) for env in envs]
        for env, episode in zip(envs, episodes, strict=True):
            watch(episode, env)
        returns, lengths = np.zeros(len(episodes)), np.zeros(len(episodes), int)
        results: list[EpisodeResult | None] = [None] * len(episodes)
        while None in results:
            if should_stop():
                raise Stopped
            actions = policy.act(observations)
            for i, env in enumerate(envs):
                if results[i] is not None:
                    continue  # the actions of a finished episode are computed with the batch and ignored
                observations[i], reward, terminated, truncated, info = env.step(actions[i])
                watch(episodes[i], env)
                returns[i] += float(reward)
                lengths[i] += 1
                if terminated or truncated:
                    results[i] = recorders[i].complete(result_of(info, float(returns[i]), int(lengths[i])))
                    env.close()  # type: ignore[no-untyped-call]  # Gymnasium's
    return [result for result in results if result is not None]


@contextmanager
def seeded_global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch within the block, and restore them after it.

    An env or a network that draws from them is evaluated the same way every time, and training is not affected.
    """
    import torch

    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    outer = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=gpus):
            torch.default_generator.manual_seed(seed)
            if gpus:
                torch.cuda.manual_seed_all(seed)
            yield
    finally:
        random.setstate(outer[0])
        np.random.set_state(outer[1])  # noqa: NPY002
