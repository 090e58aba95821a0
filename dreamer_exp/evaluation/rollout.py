"""Episodes on fixed seeds: the deterministic policy and the baselines, judged on the same ones."""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import make_baseline
from dreamer_exp.envs.episode import COLLISIONS, FAULT, SUCCESS, TIMEOUT, EpisodeResult, result_of
from dreamer_exp.envs.make import evaluation_options, make_guarded_env, make_raw_env
from dreamer_exp.evaluation import baseline_cache
from dreamer_exp.monitoring.metrics_row import mean
from dreamer_exp.rundir.rates import wilson_interval

MAX_PARALLEL = 32  # environments stepped side by side by one batch of the policy


class Stopped(Exception):
    """The evaluation was interrupted."""


class BatchPolicy(Protocol):
    """What acts in several environments at once."""

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Actions of a batch of observations."""


MakePolicy = Callable[[int, int], BatchPolicy]
"""Builds the policy from a number of environments and a seed."""
Watch = Callable[[int, gymnasium.Env[Any, Any]], None]
"""Is shown an episode's seed and its env, after its reset and after each of its steps."""


def never() -> bool:
    """Nothing asks to stop."""
    return False


def unwatched(seed: int, env: gymnasium.Env[Any, Any]) -> None:
    """Nobody looks on."""


def evaluate_policy(
    experiment: Experiment,
    make_policy: MakePolicy,
    should_stop: Callable[[], bool] = never,
    watch: Watch = unwatched,
) -> list[EpisodeResult]:
    """The policy's episodes on the evaluation's seeds, in the order of the seeds.

    Args:
        experiment: which env, contract and seeds.
        make_policy: called once a batch of episodes.
        should_stop: asked at every step.
        watch: shown every step.

    Raises:
        Stopped: `should_stop` said so.
    """
    results: list[EpisodeResult] = []
    for seeds in batches(experiment):
        results += run_batch(experiment, make_policy, seeds, should_stop=should_stop, watch=watch)
    return results


def evaluation_seeds(experiment: Experiment) -> list[int]:
    """The seed of each episode."""
    first = experiment.evaluation.seed
    return list(range(first, first + experiment.evaluation.episodes))


def batches(experiment: Experiment) -> list[list[int]]:
    """The seeds of the episodes that are run side by side; a policy's own noise depends on the whole batch."""
    seeds = evaluation_seeds(experiment)
    return [seeds[start : start + MAX_PARALLEL] for start in range(0, len(seeds), MAX_PARALLEL)]


def begin_episode(experiment: Experiment, env: gymnasium.Env[Any, Any], seed: int) -> tuple[Any, dict[str, Any]]:
    """Resets an env to the evaluation's episode of this seed: where there is a scenario matrix, in its order."""
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
    """The episodes of these seeds side by side, each in an env of its own; raises Stopped when told to."""
    with lent_random_streams(seeds[0]):
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
                    continue  # its row of the batch goes on being computed and ignored
                observations[i], reward, terminated, truncated, info = env.step(actions[i])
                watch(seeds[i], env)
                returns[i] += float(reward)
                lengths[i] += 1
                if terminated or truncated:
                    results[i] = result_of(info, float(returns[i]), int(lengths[i]))
                    env.close()  # type: ignore[no-untyped-call]  # Gymnasium's
    return [result for result in results if result is not None]


def evaluate_baseline(
    experiment: Experiment, name: str, should_stop: Callable[[], bool] = never
) -> list[EpisodeResult]:
    """A baseline's episodes on the evaluation's seeds, in the raw environment; raises Stopped when told to.

    They are the same every time, so those driven once are kept (baseline_cache.py).
    """
    asked = baseline_cache.identity(experiment, name)
    results = baseline_cache.recall(asked)
    if results is None:
        with lent_random_streams(experiment.evaluation.seed):
            results = _drive_baseline(experiment, name, should_stop)
        baseline_cache.keep(asked, results)
    return results


def _drive_baseline(experiment: Experiment, name: str, should_stop: Callable[[], bool]) -> list[EpisodeResult]:
    env = make_raw_env(experiment.env)
    results = []
    for seed in evaluation_seeds(experiment):
        observation, info = begin_episode(experiment, env, seed)
        baseline = make_baseline(name, experiment.env, env, seed)
        baseline.reset()
        total, length, done = 0.0, 0, False
        while not done:
            if should_stop():
                raise Stopped
            observation, reward, terminated, truncated, info = env.step(baseline.act(observation))
            if not math.isfinite(reward):
                reward, truncated, info = 0.0, True, {"outcome": FAULT}
            total, length, done = total + float(reward), length + 1, terminated or truncated
        results.append(result_of(info, total, length))
    env.close()
    return results


@contextmanager
def lent_random_streams(seed: int) -> Iterator[None]:
    """While this lasts, the global generators of Python, numpy and torch start from `seed`; then they are put back.

    An env or a network that draws from them is judged the same every time, and training goes on as if nothing had been.
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


def evaluation_row(
    policy: str, env_steps: int, updates: int, results: list[EpisodeResult], seeds: list[int]
) -> dict[str, Any]:
    """One row of evaluation.jsonl: rates with their 95 % Wilson intervals, means, and every episode.

    What no episode tells is None: a Gymnasium task has no outcomes, hence no rates; `time_to_goal_s_mean` is over
    successes; `min_clearance_m_*` over episodes with pedestrians. An episode that a fault of the environment cut off
    (`faults` counts them) stays in the rates, as no success, so that they are over the same list every time.
    """
    clearances = [result.min_clearance for result in results if result.min_clearance is not None]
    return {
        "policy": policy,
        "env_steps": env_steps,
        "updates": updates,
        "episodes": len(results),
        "faults": sum(result.outcome == FAULT for result in results),
        "return_mean": mean(result.episode_return for result in results),
        "length_mean": mean(result.length for result in results),
        **_rates(results),
        "spl": mean(result.spl for result in results if result.spl is not None),
        "time_to_goal_s_mean": mean(r.time_s for r in results if r.outcome == SUCCESS and r.time_s is not None),
        "min_clearance_m_mean": mean(clearances),
        "min_clearance_m_min": min(clearances, default=None),
        "outcomes": [{**asdict(result), "seed": seed} for result, seed in zip(results, seeds, strict=True)],
    }


def _rates(results: list[EpisodeResult]) -> dict[str, Any]:
    """How often each outcome was reached by episodes that have one, with intervals; `collision` is any kind of it."""
    told = [result for result in results if result.outcome is not None]
    if all(result.outcome == FAULT for result in told):
        told = []  # a fault alone doesn't tell that the task has outcomes
    happened = {kind: [result.outcome == kind for result in told] for kind in (SUCCESS, *COLLISIONS, TIMEOUT)}
    happened["collision"] = [result.collided for result in told]
    row: dict[str, Any] = {}
    for kind, flags in happened.items():
        row[f"{kind}_rate"] = mean(flags)
        row[f"{kind}_interval_95"] = wilson_interval(sum(flags), len(flags))
    return row
