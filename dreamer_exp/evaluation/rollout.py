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
from dreamer_exp.envs.make import evaluation_options, make_guarded_env

MAX_PARALLEL = 32  # environments in one batch of the policy


class Stopped(Exception):
    """An interrupted evaluation."""


class BatchPolicy(Protocol):
    """A policy that acts in several environments at once."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return the actions for a batch of observations."""


MakePolicy = Callable[[int, int], BatchPolicy]
"""Builds a policy from a number of environments and a seed."""
Watch = Callable[[int, gymnasium.Env[Any, Any]], None]
"""Called with an episode's seed and env after its reset and after each of its steps."""


def never() -> bool:
    """Return False: nothing asks to stop."""
    return False


def unwatched(seed: int, env: gymnasium.Env[Any, Any]) -> None:
    """Do nothing with a step."""


def evaluate_policy(
    experiment: Experiment,
    make_policy: MakePolicy,
    should_stop: Callable[[], bool] = never,
    watch: Watch = unwatched,
) -> list[EpisodeResult]:
    """Return the policy's episodes on the evaluation's seeds, in the order of the seeds.

    Args:
        experiment: gives the env, the contract and the seeds.
        make_policy: called once for each batch of episodes.
        should_stop: called at every step.
        watch: called at every step.

    Raises:
        Stopped: `should_stop` returned True.
    """
    results: list[EpisodeResult] = []
    for seeds in batches(experiment):
        results += run_batch(experiment, make_policy, seeds, should_stop=should_stop, watch=watch)
    return results


def evaluation_seeds(experiment: Experiment) -> list[int]:
    """Return the seed of each episode."""
    first = experiment.evaluation.seed
    return list(range(first, first + experiment.evaluation.episodes))


def batches(experiment: Experiment) -> list[list[int]]:
    """Return the seeds in batches that run in parallel; the policy's noise depends on the complete batch."""
    seeds = evaluation_seeds(experiment)
    return [seeds[start : start + MAX_PARALLEL] for start in range(0, len(seeds), MAX_PARALLEL)]


def begin_episode(experiment: Experiment, env: gymnasium.Env[Any, Any], seed: int) -> tuple[Any, dict[str, Any]]:
    """Reset an env to the evaluation's episode of this seed; return observation and info.

    An env with a scenario matrix takes its scenarios in order.
    """
    index = seed - experiment.evaluation.seed
    return env.reset(seed=seed, options=evaluation_options(experiment.env, index))


def run_batch(
    experiment: Experiment,
    make_policy: MakePolicy,
    seeds: list[int],
    *,
    should_stop: Callable[[], bool] = never,
    watch: Watch = unwatched,
    render_mode: str | None = None,
) -> list[EpisodeResult]:
    """Return the episodes of these seeds, run in parallel, each in a separate env.

    Raises:
        Stopped: `should_stop` returned True.
    """
    with seeded_global_generators(seeds[0]):
        envs = [make_guarded_env(experiment.env, experiment.obs_contract, render_mode) for _ in seeds]
        policy = make_policy(len(seeds), seeds[0])
        observations = np.stack(
            [begin_episode(experiment, env, seed)[0] for env, seed in zip(envs, seeds, strict=True)]
        )
        for env, seed in zip(envs, seeds, strict=True):
            watch(seed, env)
        returns, lengths = np.zeros(len(seeds)), np.zeros(len(seeds), int)
        results: list[EpisodeResult | None] = [None] * len(seeds)
        while None in results:
            if should_stop():
                raise Stopped
            actions = policy.act(observations)
            for i, env in enumerate(envs):
                if results[i] is not None:
                    continue  # the actions of a finished episode are computed with the batch and ignored
                observations[i], reward, terminated, truncated, info = env.step(actions[i])
                watch(seeds[i], env)
                returns[i] += float(reward)
                lengths[i] += 1
                if terminated or truncated:
                    results[i] = result_of(info, float(returns[i]), int(lengths[i]))
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
